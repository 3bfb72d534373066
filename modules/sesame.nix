# Sesame's two daemons on a host: settings, policy, operators, and what the host must not do with memory.
{
  config,
  lib,
  pkgs,
  ...
}:

let
  inherit (lib) types;
  cfg = config.services.sesame;
  toml = pkgs.formats.toml { };

  keys = map lib.showOption (
    lib.collect lib.isList (
      lib.mapAttrsRecursiveCond (value: !lib.isOption value) (path: _: path) (
        import ./settings.nix { inherit lib; }
      )
    )
  );

  # Policies of several modules are one file: an entry for each key, with all its sources.
  policyByKey = lib.groupBy (entry: entry.key) cfg.policy;
  valuesOf = entries: lib.unique (map (entry: entry.value) entries);
  policy = lib.mapAttrsToList (key: entries: {
    inherit key;
    inherit (lib.head entries) value;
    source = lib.concatStringsSep "; " (lib.unique (map (entry: entry.source) entries));
  }) policyByKey;

  # TOML has no null, and a section without a setting says nothing.
  compact =
    settings:
    lib.filterAttrs (_: value: value != null && value != { }) (
      lib.mapAttrs (_: value: if lib.isAttrs value then compact value else value) settings
    );
  settings = compact cfg.settings;
  configured = key: lib.attrByPath (lib.splitString "." key) null settings;

  # The daemons' own parser has the last word, before anything is installed.
  files =
    pkgs.runCommand "sesame-configuration"
      {
        config = toml.generate "config.toml" settings;
        policy = toml.generate "policy.toml" { inherit policy; };
      }
      (
        ''
          mkdir $out
          cp $config $out/config.toml
        ''
        + lib.optionalString (policy != [ ]) ''
          cp $policy $out/policy.toml
        ''
        + lib.optionalString (pkgs.stdenv.buildPlatform.canExecute pkgs.stdenv.hostPlatform) ''
          ${lib.getExe cfg.package} --dir $out config check
        ''
      );

  daemon = import ./daemon.nix;
  shown = builtins.toJSON;
in
{
  imports = [
    ./kernel-floor.nix
    ./memory-at-rest.nix
    ./operators.nix
  ];

  options.services.sesame = {
    enable = lib.mkEnableOption "Sesame: vaults, keys and a sealed audit trail, in daemons that have no network";

    package = lib.mkOption {
      type = types.package;
      default = pkgs.sesame or (pkgs.callPackage ../crates/package.nix { });
      defaultText = lib.literalExpression "packages.sesame of this flake";
      description = "The programs, and the units that are installed.";
    };

    memoryProtection = lib.mkOption {
      type = types.enum [
        "require"
        "prefer"
        "off"
      ];
      default = "require";
      description = ''
        What the daemons do when secrets cannot be kept off the kernel's direct map (memfd_secret(2)).
        With `require` they don't start, and a host whose kernel is known to lack it is not evaluated.
      '';
    };

    settings = lib.mkOption {
      type = types.submodule {
        freeformType = toml.type;
        options = import ./settings.nix { inherit lib; };
      };
      default = { };
      example = {
        crypto.profile = "governance-compatible";
        unlock.auto_lock_seconds = 300;
      };
      description = ''
        {file}`/etc/pds/config.toml`. A key that nobody knows fails the build. A change restarts the
        daemons, and with that locks every profile.
      '';
    };

    policy = lib.mkOption {
      type = types.listOf (
        types.submodule {
          options = {
            key = lib.mkOption {
              type = types.enum keys;
              example = "crypto.kdf";
              description = "The setting that is locked.";
            };
            value = lib.mkOption {
              type = types.oneOf [
                types.bool
                types.int
                types.str
                (types.listOf types.str)
              ];
              example = "argon2id";
              description = "What it is locked to.";
            };
            source = lib.mkOption {
              type = types.strMatching ".{1,256}";
              example = "Key policy 2026, section 4";
              description = "Who demands it, for whoever meets the error.";
            };
          };
        }
      );
      default = [ ];
      description = ''
        {file}`/etc/pds/policy.toml`: settings that nothing else may contradict. Lists of several modules are
        merged; two of them may lock the same key to the same value. With entries here the file is this
        configuration's: they replace one that was locked by hand, and `sesame policy lock` refuses, since
        there is a policy. With none it is left alone.
      '';
    };

    audit = {
      segmentBytes = lib.mkOption {
        type = types.nullOr (types.ints.between 65536 1073741824);
        default = null;
        description = "Size in bytes at which the trail begins its next segment. `null`: 4 MiB.";
      };
      checkpointEntries = lib.mkOption {
        type = types.nullOr (types.ints.between 1 1000000);
        default = null;
        description = "New entries after which the trail is sealed by a signed checkpoint. `null`: 1000.";
      };
      checkpointMinutes = lib.mkOption {
        type = types.nullOr (types.ints.between 1 1440);
        default = null;
        description = "Minutes after which new entries, however few, are sealed. `null`: 15.";
      };
    };
  };

  config = lib.mkIf cfg.enable {
    services.sesame.settings = {
      memory.protection = lib.mkDefault cfg.memoryProtection;
      audit = {
        segment_bytes = lib.mkIf (cfg.audit.segmentBytes != null) (lib.mkDefault cfg.audit.segmentBytes);
        checkpoint_entries = lib.mkIf (cfg.audit.checkpointEntries != null) (
          lib.mkDefault cfg.audit.checkpointEntries
        );
        checkpoint_minutes = lib.mkIf (cfg.audit.checkpointMinutes != null) (
          lib.mkDefault cfg.audit.checkpointMinutes
        );
      };
    };

    assertions =
      lib.mapAttrsToList (key: entries: {
        assertion = lib.length (valuesOf entries) == 1;
        message = "services.sesame.policy contradicts itself: ${key} is locked to ${
          lib.concatMapStringsSep " and to " (entry: "${shown entry.value} (source: ${entry.source})") entries
        }. Remove all but one.";
      }) policyByKey
      ++ map (entry: {
        assertion = configured entry.key == null || configured entry.key == entry.value;
        message = "services.sesame: ${
          if entry.key == "memory.protection" then
            "memoryProtection is"
          else
            "settings.${entry.key} is set to"
        } ${shown (configured entry.key)}, but the policy locks ${entry.key} to ${shown entry.value} (source: ${entry.source}). Change the setting, or have the policy changed by its owner.";
      }) policy
      ++ [
        {
          assertion = config.system.etc.overlay.enable -> config.system.etc.overlay.mutable;
          message = "services.sesame: system.etc.overlay.mutable is false, and the daemons' keys and peers.toml are made on the host, in /etc/pds. Set it to true.";
        }
      ];

    environment.systemPackages = [ cfg.package ];
    environment.etc = {
      "pds/config.toml".source = "${files}/config.toml";
    }
    // lib.optionalAttrs (policy != [ ]) {
      "pds/policy.toml".source = "${files}/policy.toml";
    };

    # The units are the package's, the same on every distribution. Here is only when they start, and that
    # a change of the settings reaches them.
    systemd.packages = [ cfg.package ];
    systemd.services = {
      sesame-audit = daemon [ files ];
      sesame-secrets = daemon [ files ];
    };
    systemd.tmpfiles.rules = lib.filter (line: line != "" && !lib.hasPrefix "#" line) (
      lib.splitString "\n" (lib.readFile ../crates/daemon-runtime/systemd/tmpfiles.d/sesame.conf)
    );

    # As in sysusers.d/sesame.conf.
    users.groups = {
      sesame = { };
      sesame-audit = { };
      sesame-secrets = { };
    };
    users.users = {
      sesame-audit = {
        isSystemUser = true;
        group = "sesame-audit";
        extraGroups = [ "sesame" ];
        description = "Sesame audit trail";
      };
      sesame-secrets = {
        isSystemUser = true;
        group = "sesame-secrets";
        extraGroups = [ "sesame" ];
        description = "Sesame vaults and keys";
      };
    };
  };
}
