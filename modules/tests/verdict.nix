# What the cases came to: a list of sentences, empty when every host did as it should.
#
# `thrown` only says whether the module system refused; what it said is for who runs the evaluation to see
# (`cargo xtask nix`), since an expression cannot catch a sentence.
{ nixpkgs, system }:

let
  lib = import (nixpkgs + "/lib");
  host = import ./host.nix { inherit nixpkgs system; };
  cases = import ./cases.nix { inherit lib; };

  refusals =
    module: map (a: a.message) (lib.filter (a: !a.assertion) (host module).config.assertions);

  accepted =
    name: module:
    let
      said = refusals module;
    in
    lib.optional (said != [ ]) "${name}: is refused: ${lib.concatStringsSep "; " said}";

  refused =
    name:
    { module, says }:
    let
      said = refusals module;
    in
    lib.optional (
      lib.length said != 1 || !lib.hasInfix says (lib.head said)
    ) "${name}: should be refused with \"${says}\", and was with [${lib.concatStringsSep "; " said}]";

  thrown =
    name:
    { module, ... }:
    lib.optional (builtins.tryEval (builtins.deepSeq (evaluated module) true)).success "${name}: should not evaluate, and does";

  # What a case's options come to, without the rest of the system.
  evaluated =
    module:
    let
      services = (host module).config.services;
    in
    [
      services.sesame.enable
      services.sesame.audit
      services.sesame.operators
      services.sesame.policy
      services.sesame.settings
      services.cicada.identities
    ];

  all = test: cases: lib.concatLists (lib.mapAttrsToList test cases);
in
{
  inherit (cases) thrown;
  inherit evaluated;
  failures = all accepted cases.accepted ++ all refused cases.refused ++ all thrown cases.thrown;
}
