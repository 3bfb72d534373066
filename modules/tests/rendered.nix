# What the homes of the units add to the files of the package: a host of a fleet, NixOS's ceremony image, and
# Debian's. The same hardening in all three is a text without a setting of hardening in it.
{ nixpkgs, system }:

let
  lib = import (nixpkgs + "/lib");
  overlay = final: _: { sesame = final.callPackage ../../crates/package.nix { }; };

  fleet =
    (import ./host.nix { inherit nixpkgs system; } {
      services.sesame = {
        policy = [
          {
            key = "crypto.kdf";
            value = "argon2id";
            source = "one";
          }
        ];
        operators.root.key = lib.concatStrings (lib.genList (_: "ab") 32);
      };
      services.cicada.enable = true;
    }).config;

  ceremony =
    (import (nixpkgs + "/nixos/lib/eval-config.nix") {
      inherit lib;
      system = null;
      modules = [
        ../../images/ceremony.nix
        {
          nixpkgs.hostPlatform = system;
          nixpkgs.overlays = [ overlay ];
        }
      ];
    }).config;

  appliance = ../../images/appliance/tree/usr/lib/systemd/system;
  packaged = lib.attrNames (lib.readDir ../../crates/daemon-runtime/systemd/system);
  ours = name: lib.hasPrefix "sesame" name || lib.hasPrefix "cicada" name;

  # Names in the store change with every dependency.
  settled =
    text:
    lib.concatStrings (
      map (part: if lib.isList part then "/nix/store/…-" else part) (
        lib.split "/nix/store/[a-z0-9]{32}-" (lib.unsafeDiscardStringContext text)
      )
    );
  said = text: if lib.trim text == "" then "(nothing)" else lib.trim (settled text);

  written =
    config: unit:
    let
      found = config.systemd.units.${unit} or null;
    in
    if found == null || found.text == null then
      ""
    else if !found.enable then
      "(masked)"
    else
      found.text;

  # systemd.unit(5): x-y.service takes x-y.service.d and x-.service.d.
  dropIns =
    unit:
    let
      prefixes = [
        "${unit}.d"
        "${lib.head (lib.splitString "-" unit)}-.service.d"
      ];
      directories = lib.filter lib.pathExists (map (name: appliance + "/${name}") prefixes);
      files = lib.concatMap (
        directory: map (name: directory + "/${name}") (lib.attrNames (lib.readDir directory))
      ) directories;
    in
    lib.concatMapStrings lib.readFile files;

  # Debian's drop-ins are in NixOS's image too, as files of a package.
  ceremonyHasDropIns = lib.any (
    package: lib.getName package == "ceremony-appliance"
  ) ceremony.systemd.packages;

  unit = name: ''
    == ${name}
    -- a host of a fleet adds
    ${said (written fleet name)}
    -- NixOS's ceremony image adds
    ${said ((lib.optionalString ceremonyHasDropIns (dropIns name)) + written ceremony name)}
    -- Debian's ceremony image adds
    ${said (dropIns name)}
  '';

  own = lib.filter (name: ours name && !(lib.elem name packaged)) (lib.attrNames fleet.systemd.units);

  etc = lib.filterAttrs (
    name: _: lib.hasPrefix "pds/" name || lib.hasPrefix "cicada/" name
  ) fleet.environment.etc;
in
''
  What each home adds to the units of the package.

  ${lib.concatMapStringsSep "\n" unit packaged}
  == a host of a fleet has these units besides
  ${lib.concatMapStringsSep "\n" (name: "-- ${name}\n${said fleet.systemd.units.${name}.text}") own}

  == and these files, users and directories
  ${lib.concatStringsSep "\n" (
    lib.mapAttrsToList (name: file: "/etc/${name}: ${settled "${file.source}"}") etc
    ++ lib.mapAttrsToList (
      name: user: "${name}: ${user.group}, ${lib.concatStringsSep " " user.extraGroups}"
    ) (lib.filterAttrs (name: _: ours name) fleet.users.users)
    ++ lib.filter (lib.hasInfix "/pds") fleet.systemd.tmpfiles.rules
  )}
''
