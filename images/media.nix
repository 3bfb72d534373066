# What people carry: the disk, its UKI, and the manifest with its words, which the same program writes that
# verifies them.
{
  lib,
  python3,
  runCommand,
  sesame,
  stdenv,
  # The image, as the module image/repart.nix makes it, and its UKI.
  image,
  uki,
  # What is in it.
  toplevel,
  # The name of the files, before their endings.
  name,
  version,
  commit,
}:

let
  isDirty = lib.hasSuffix "-dirty" commit;
in
runCommand name
  {
    __structuredAttrs = true;
    exportReferencesGraph.closure = [ toplevel ];
    nativeBuildInputs = [
      python3
      sesame
    ];
    passthru = { inherit image uki; };
  }
  ''
    mkdir $out
    ln -s ${image}/${name}.raw ${uki}/${name}.efi $out/
    python3 ${./packages.py} ${stdenv.hostPlatform.linuxArch} < $NIX_ATTRS_JSON_FILE > packages.json
    sesame media manifest --name sesame-ceremony --version ${version} --packages packages.json \
      ${
        lib.optionalString (
          commit != null
        ) "--commit ${lib.removeSuffix "-dirty" commit} ${lib.optionalString isDirty "--modified"}"
      } \
      --output $out/${name}.manifest.json ${image}/${name}.raw
    sesame media verify --manifest $out/${name}.manifest.json ${image}/${name}.raw > $out/${name}.words.txt
  ''
