# The ceremony appliance: from a booted kernel to one shell on one console, and nothing beside it. How the
# machine boots, and from what, is in ../images/ceremony.nix.
#
# The units, settings and lists are those of the Debian-built image (../images/appliance). They name programs
# below /usr, so /usr has them here too: a tree of links on the verified file system.
#
# What the Debian-built image has and this one has not:
# - the kernel's lockdown: nixpkgs' kernel has no lockdown, since that wants signed modules, and a key made in
#   a build is another one in the next. Root can read /proc/kcore here; secret memory isn't in it.
# - a root that is verified as a whole: /usr is, with the store in it. / is in memory: links and mount points, and
#   read-only once they are made.
# - an initrd that holds only what a list names: it is that of NixOS, though without a shell.
{
  config,
  lib,
  modulesPath,
  pkgs,
  ...
}:

let
  cfg = config.ceremony;
  inherit (cfg) files;

  # The programs that units and people find below /usr; images/debian/root.keep has Debian's.
  programs = [
    cfg.package
    config.systemd.package
    pkgs.bashInteractive
    pkgs.coreutils
    pkgs.cryptsetup
    pkgs.diffutils
    pkgs.e2fsprogs
    pkgs.findutils
    (lib.getBin pkgs.glibc)
    pkgs.gnugrep
    pkgs.gnused
    pkgs.kmod
    pkgs.less
    pkgs.lvm2
    pkgs.ncurses
    (lib.getBin pkgs.util-linux)
  ];

  # Units and generators of NixOS that are no part of the appliance, beside those that both images mask.
  alsoMasked = [
    "dbus.service"
    "dbus.socket"
    "dbus-broker.service"
    "kmod-static-nodes-settle.service"
    "lastlog2-import.service"
    "mount-pstore.service"
    "nix-daemon.service"
    "nix-daemon.socket"
    "nscd.service"
    "suid-sgid-wrappers.service"
    "systemd-coredump.socket"
    "systemd-oomd.service"
    "systemd-oomd.socket"
    "systemd-vconsole-setup.service"
    "reload-systemd-vconsole-setup.service"
  ];

  # Of NixOS, what is started beside the appliance's own.
  alsoStarted = [
    "network.target"
    "read-only-root.service"
    "systemd-journald-audit.socket"
    "systemd-modules-load.service"
    "systemd-sysctl.service"
    "systemd-tmpfiles-resetup.service"
  ];
  started = lib.attrNames (
    lib.filterAttrs (
      _: unit: unit.enable && unit.wantedBy ++ unit.requiredBy ++ unit.upheldBy != [ ]
    ) config.systemd.units
  );
  strangers = lib.subtractLists (alsoStarted ++ cfg.alsoStarted) started;

  unitsWith =
    key: target:
    lib.attrNames (lib.filterAttrs (_: install: lib.elem target install.${key}) files.enabled);
  targets = lib.unique (
    lib.concatMap (install: install.wantedBy ++ install.requiredBy) (lib.attrValues files.enabled)
  );
in
{
  imports = [
    "${modulesPath}/profiles/image-based-appliance.nix"
    "${modulesPath}/profiles/perlless.nix"
  ];

  options.ceremony = {
    package = lib.mkOption {
      type = lib.types.package;
      default = pkgs.sesame or (pkgs.callPackage ../crates/package.nix { });
      defaultText = lib.literalExpression "packages.sesame of this flake";
      description = "The programs and the daemons' units.";
    };

    files = lib.mkOption {
      type = lib.types.package;
      default = pkgs.callPackage ../images/appliance.nix { };
      defaultText = lib.literalMD "the files in `images/appliance`";
      description = "Units, settings and lists of the appliance.";
    };

    alsoStarted = lib.mkOption {
      type = lib.types.listOf lib.types.str;
      default = [ ];
      description = "Units of other modules that this image may start. Nothing is started that nobody names.";
    };

    commit = lib.mkOption {
      type = lib.types.nullOr lib.types.str;
      default = null;
      description = "The commit of the sources, in hexadecimal, for the image's manifest; with `-dirty` where they differ from it.";
    };

    usr = lib.mkOption {
      type = lib.types.package;
      readOnly = true;
      description = "What is below `/usr`, as links into the store.";
    };
  };

  config = {
    ceremony.usr = pkgs.buildEnv {
      name = "ceremony-usr";
      paths = programs ++ [ cfg.files ];
      pathsToLink = [
        "/bin"
        "/libexec/sesame"
        "/share/sesame"
        "/share/terminfo"
      ];
      ignoreCollisions = true;
      # Directories of links, so that looking below /usr/lib/modules finds every driver.
      postBuild = ''
        # In nixpkgs both directories are one.
        cp --recursive --no-dereference $out/bin $out/sbin
        mkdir -p $out/lib
        cp --recursive --symbolic-link ${config.system.modulesTree}/lib/modules $out/lib/modules
        mkdir -p $out/lib/systemd
        for program in ${config.systemd.package}/lib/systemd/systemd*; do
          [ -d "$program" ] || ln -s "$program" $out/lib/systemd/
        done
      '';
    };

    systemd = {
      packages = [
        cfg.package
        cfg.files
      ];
      # Ours have their names.
      suppressedSystemUnits = [
        "emergency.service"
        "rescue.service"
      ];
      # The preset, as links that wants and requirements are made of.
      targets = lib.listToAttrs (
        map (
          target:
          lib.nameValuePair (lib.removeSuffix ".target" target) {
            wants = unitsWith "wantedBy" target;
            requires = unitsWith "requiredBy" target;
          }
        ) targets
      );
      units = lib.genAttrs (files.maskedUnits ++ alsoMasked) (_: {
        enable = lib.mkForce false;
      });
      generators = lib.genAttrs files.maskedGenerators (_: "/dev/null");
      shutdown.ceremony = "${files}/lib/systemd/system-shutdown/ceremony";
      # It would be started from /run, where nothing may be.
      shutdownRamfs.enable = false;
      coredump.enable = false;
      oomd.enable = false;
      # Units that are not written by NixOS have no PATH of their own.
      globalEnvironment.PATH = lib.mkForce "/usr/bin:/usr/sbin";
      # Not cicada's: /etc can't be written to, and there is no cicada without its settings.
      tmpfiles.packages = [
        cfg.files
        (pkgs.linkFarm "ceremony-tmpfiles" {
          "lib/tmpfiles.d/sesame.conf" = "${cfg.package}/lib/tmpfiles.d/sesame.conf";
        })
      ];
    };
    # / is in memory: once every mount point is there, nobody writes to it.
    systemd.services.read-only-root = {
      description = "Ceremony: the root is read-only";
      unitConfig.DefaultDependencies = false;
      wantedBy = [ "sysinit.target" ];
      before = [ "sysinit.target" ];
      after = [
        "local-fs.target"
        "systemd-tmpfiles-setup.service"
      ];
      serviceConfig = {
        Type = "oneshot";
        RemainAfterExit = true;
        ExecStart = "/usr/bin/mount -o remount,ro,nosuid,nodev,noexec /";
      };
    };
    services.udev.packages = [ cfg.files ];

    environment.etc =
      lib.genAttrs files.settings (name: {
        source = "${files}/lib/${name}";
      })
      // {
        # Where etc-pds.mount is mounted.
        "pds/.mount-point".text = "";
      };
    system = {
      etc.overlay.mutable = false;
      # No script takes part in the start.
      nixos-init.enable = true;
      activatable = false;
    };
    environment = {
      # /usr is the verified file system, and has it.
      usrbinenv = null;
      # Programs are below /usr, and bash is told by its unit what to read.
      systemPackages = lib.mkForce [ ];
      corePackages = lib.mkForce [ ];
    };
    programs = {
      bash.enable = false;
      nano.enable = false;
    };

    # Numbers and names are those of sysusers.d; the files are made with the image and never written again.
    services.userborn = {
      enable = true;
      static = true;
    };
    users = {
      allowNoPasswordLogin = true;
      users =
        lib.mapAttrs (
          name: user:
          removeAttrs user [ "shell" ]
          // lib.optionalAttrs (user.shell != null) { inherit (user) shell; }
          // {
            extraGroups = map (pair: pair.group) (lib.filter (pair: pair.user == name) files.memberships);
          }
        ) files.users
        // {
          root.shell = lib.mkForce pkgs.shadow;
        };
      inherit (files) groups;
      manageLingering = false;
    };

    # Nobody becomes root by running a program, nobody logs in, and nothing is asked over a bus.
    security = {
      enableWrappers = false;
      sudo.enable = false;
      polkit.enable = false;
    };
    services = {
      dbus.enable = lib.mkForce false;
      nscd.enable = false;
      logrotate.enable = false;
      timesyncd.enable = false;
      lvm.enable = false;
      openssh.enable = lib.mkForce false;
    };
    # Names are looked up in files.
    system.nssModules = lib.mkForce [ ];
    console.enable = false;
    fonts.fontconfig.enable = false;
    i18n.defaultLocale = "C.UTF-8";

    # There is no network: no interface but lo, no driver (images/kernel.nix), and nothing that would set one up.
    networking = {
      hostName = "ceremony";
      useNetworkd = lib.mkForce false;
      useDHCP = false;
      dhcpcd.enable = false;
      firewall.enable = false;
      resolvconf.enable = false;
      wireless.enable = lib.mkForce false;
      modemmanager.enable = lib.mkForce false;
    };
    hardware.bluetooth.enable = lib.mkForce false;

    # Neither swap nor a way to write memory to a disk.
    swapDevices = lib.mkForce [ ];
    zramSwap.enable = lib.mkForce false;
    boot = {
      kexec.enable = false;
      bcache.enable = false;
    };
    powerManagement.enable = false;

    system.stateVersion = lib.trivial.release;

    assertions = [
      {
        assertion = pkgs.stdenv.hostPlatform.isx86_64;
        message = "ceremony: the appliance is a machine of x86-64, whose second console is ttyS0; set nixpkgs.hostPlatform = \"x86_64-linux\".";
      }
      {
        assertion = strangers == [ ];
        message =
          "ceremony: nothing is started on the appliance but what is named. Name what is wanted in "
          + "ceremony.alsoStarted, or disable it: ${toString strangers}";
      }
      {
        assertion = config.boot.resumeDevice == "";
        message = "ceremony: a machine that hibernates writes its secrets to a disk; unset boot.resumeDevice.";
      }
      {
        assertion = config.services.getty.autologinUser == null;
        message = "ceremony: there is no login on the appliance; unset services.getty.autologinUser.";
      }
    ];
  };
}
