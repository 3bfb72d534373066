# The appliance's own files as a package: the very tree that the Debian-built image has. What its lists
# say (presets, masks, users, kernel modules) is read from them at evaluation, so that both images go by
# one text.
{
  lib,
  runCommand,
  runtimeShell,
}:

let
  inherit (lib)
    concatMap
    concatStringsSep
    elemAt
    filter
    head
    match
    hasPrefix
    listToAttrs
    nameValuePair
    pathExists
    readFile
    removePrefix
    replaceStrings
    splitString
    tail
    trim
    ;

  tree = ./appliance/tree;

  # The lines of a text, without comments.
  lines = text: filter (line: line != "" && !hasPrefix "#" line) (map trim (splitString "\n" text));
  words = line: filter (word: word != "") (splitString " " line);

  enabledBy =
    line:
    let
      parts = words line;
      unit = elemAt parts 1;
      instances = lib.drop 2 parts;
      instance = name: replaceStrings [ "@." ] [ "@${name}." ] unit;
    in
    lib.optionals (head parts == "enable") (
      if instances == [ ] then [ unit ] else map instance instances
    );

  # The [Install] section of a unit, which no preset interprets in NixOS.
  install =
    unit:
    let
      template = lib.concatStrings (
        let
          found = match "([^@]*@)[^.]*(\\..*)" unit;
        in
        if found == null then [ unit ] else found
      );
      places = map (directory: directory + "/${template}") [
        (tree + "/usr/lib/systemd/system")
        ../crates/daemon-runtime/systemd/system
      ];
      text = readFile (
        lib.findFirst pathExists (throw "10-ceremony.preset enables ${unit}, which is nobody's") places
      );
      values =
        key:
        concatMap (line: lib.optionals (hasPrefix "${key}=" line) (words (removePrefix "${key}=" line))) (
          lines text
        );
    in
    {
      wantedBy = values "WantedBy";
      requiredBy = values "RequiredBy";
    };

  # sysusers.d(5): the three kinds of lines that the file has.
  users = lines (readFile (tree + "/usr/lib/sysusers.d/00-ceremony.conf"));
  # The daemons' own files give no numbers, but say who reaches whose socket.
  daemons =
    concatMap (file: lines (readFile (../crates/daemon-runtime/systemd/sysusers.d + "/${file}")))
      [
        "sesame.conf"
        "cicada.conf"
      ];
  ofKind =
    pattern: make:
    concatMap (
      line:
      let
        found = match pattern line;
      in
      lib.optional (found != null) (make found)
    );
  user = ''u ([^ ]+) ([0-9]+) "([^"]*)" ([^ ]+) ([^ ]+)'';
  group = "g ([^ ]+) ([0-9]+) -";
  member = "m ([^ ]+) ([^ ]+)";
  strange = filter (
    line:
    lib.all (kind: match kind line == null) [
      user
      group
      member
    ]
  ) users;
  orNull = value: if value == "-" then null else value;

  # Below usr/lib: what NixOS takes from /etc, and what it takes from packages or from what is read here.
  intoEtc = [
    "modprobe.d"
    "modules-load.d"
    "sysctl.d"
    "systemd/journald.conf.d"
    "systemd/system.conf.d"
  ];
  otherwise = [
    "systemd/system"
    "systemd/system-preset"
    "systemd/system-shutdown"
    "sysusers.d"
    "tmpfiles.d"
    "udev/rules.d"
  ];
  libraryOf = directory: tree + "/usr/lib/${directory}";
  within =
    directory:
    map (name: "${directory}/${name}") (lib.attrNames (builtins.readDir (libraryOf directory)));
  there =
    lib.subtractLists [ "systemd" "udev" ] (lib.attrNames (builtins.readDir (libraryOf "")))
    ++ within "systemd"
    ++ within "udev";
  unhandled = lib.subtractLists (intoEtc ++ otherwise) there;

  mkosi = lines (readFile ./debian/mkosi.conf);
  # The names in a list of mkosi.conf(5): what is no plain module's name is about Debian's kernel only.
  modulesOf =
    key:
    let
      after = tail (lib.sublist (lib.lists.findFirstIndex (line: line == key) 0 mkosi) 999 mkosi);
      isPattern = line: match "[A-Za-z]+=.*" line == null;
      listed = lib.lists.take (lib.lists.findFirstIndex (line: !isPattern line) 999 after) after;
      name = line: match "/([A-Za-z0-9_-]+)\\.ko" line;
    in
    concatMap (line: if name line == null then [ ] else name line) listed;
in
runCommand "ceremony-appliance"
  {
    passthru = {
      # What the preset enables: the unit's name, and who wants or requires it.
      enabled = listToAttrs (
        map (unit: nameValuePair unit (install unit)) (
          concatMap enabledBy (lines (readFile (tree + "/usr/lib/systemd/system-preset/10-ceremony.preset")))
        )
      );

      # Files for /etc, by their names below it and below lib of the package.
      settings =
        assert lib.assertMsg (
          unhandled == [ ]
        ) "images/appliance/tree/usr/lib has what NixOS would leave out: ${toString unhandled}";
        concatMap within (lib.filter (directory: lib.elem directory there) intoEtc);

      maskedUnits = lines (readFile ./appliance/masked-units.txt);
      maskedGenerators = lines (readFile ./appliance/masked-generators.txt);

      # As the options users.users and users.groups of NixOS take them.
      users =
        assert lib.assertMsg (
          strange == [ ]
        ) "00-ceremony.conf: not understood: ${concatStringsSep "; " strange}";
        listToAttrs (
          ofKind user (
            found:
            nameValuePair (elemAt found 0) {
              uid = lib.toIntBase10 (elemAt found 1);
              group = elemAt found 0;
              description = elemAt found 2;
              home = if elemAt found 3 == "-" then "/var/empty" else elemAt found 3;
              shell = orNull (elemAt found 4);
              isSystemUser = true;
              createHome = false;
            }
          ) users
        );
      groups = lib.foldl' lib.recursiveUpdate { } (
        ofKind group (found: {
          ${elemAt found 0}.gid = lib.toIntBase10 (elemAt found 1);
        }) users
        ++ ofKind user (found: {
          ${elemAt found 0}.gid = lib.toIntBase10 (elemAt found 1);
        }) users
      );
      # Who is in which group: pairs of a user and a group.
      memberships = ofKind member (found: {
        user = elemAt found 0;
        group = elemAt found 1;
      }) (users ++ daemons);

      kernelModules = modulesOf "KernelModulesInclude=";
      initrdModules = modulesOf "KernelModulesInitrdInclude=";

      # Of the command line of the Debian-built image.
      kernelParameters = words (trim (readFile ./debian/kernel-command-line));
    };
  }
  ''
    cp --recursive --no-preserve=mode ${tree}/usr $out
    cp --recursive --no-preserve=mode ${tree}/etc $out/etc
    chmod 0755 $out/lib/systemd/system-shutdown/ceremony
    # NixOS has no preset, and users come from what is read above.
    rm --recursive $out/lib/systemd/system-preset $out/lib/sysusers.d
    sed --in-place '1s|^#!/bin/sh$|#!${runtimeShell}|' $out/lib/systemd/system-shutdown/ceremony
  ''
