# OPTIONS.md: every option of the two modules, as Markdown.
{ nixpkgs, system }:

let
  lib = import (nixpkgs + "/lib");
  inherit (import ./tests/host.nix { inherit nixpkgs system; } { }) options;

  documented = lib.filter (option: option.visible && !option.internal) (
    lib.optionAttrSetToDocList options.services.sesame
    ++ lib.optionAttrSetToDocList options.services.cicada
  );

  # The roles of nixpkgs' manual are code elsewhere.
  plain = lib.replaceStrings [ "{option}`" "{file}`" ] [ "`" "`" ];
  # Renderers end a literal expression as they like.
  value = given: lib.removeSuffix "\n" given.text;
  code =
    name: given:
    if lib.hasInfix "\n" (value given) then
      "${name}:\n\n```nix\n${value given}\n```\n"
    else
      "${name}: `${value given}`\n";

  section =
    option:
    lib.concatStringsSep "\n" (
      [
        "## `${option.name}`\n"
        (plain (lib.trim option.description) + "\n")
        "Type: `${option.type}`\n"
      ]
      ++ lib.optional (option ? default) (code "Default" option.default)
      ++ lib.optional (option ? example) (code "Example" option.example)
    );
in
''
  # Options of the NixOS modules

  `nixosModules.default` has them all. This page is made from their descriptions; a check says when it is
  no longer current, and `cargo xtask nix --nixpkgs DIR --write` writes it. CI has no nixpkgs and evaluates no
  module: whoever changes one runs `cargo xtask nix --nixpkgs DIR`.

''
+ lib.concatMapStringsSep "\n" section documented
