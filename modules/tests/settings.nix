# The module's settings against the list that the daemons go by (`sesame config keys`): sentences, or none.
{ nixpkgs }:

let
  lib = import (nixpkgs + "/lib");

  # Rows of: | `key` | values | default | what it decides |
  list = lib.readFile ../../crates/site-config/src/snapshots/site_config__keys__tests__the_manual_lists_every_key.snap;
  rows = lib.filter (row: row != null) (
    map (lib.match "\\| `([a-z_.]+)` \\| (.*) \\| (.*) \\| (.*) \\|") (lib.splitString "\n" list)
  );
  # A value of the list, as the module system describes its type.
  typeOf =
    values:
    let
      range = lib.match "a whole number from ([0-9]+) to ([0-9]+)" values;
      set = lib.match "a list of any of (.*)" values;
    in
    if values == "true or false" then
      "boolean"
    else if range != null then
      "integer between ${lib.head range} and ${lib.last range} (both inclusive)"
    else if set != null then
      "(list of (one of ${lib.head set}))"
    else
      values;
  listed = lib.listToAttrs (
    map (
      row:
      lib.nameValuePair (lib.elemAt row 0) {
        type = "null or ${typeOf (lib.elemAt row 1)}";
        decides = lib.elemAt row 3;
      }
    ) rows
  );

  options = lib.listToAttrs (
    map (option: lib.nameValuePair (lib.showOption option.path) option.value) (
      lib.collect (value: value ? path) (
        lib.mapAttrsRecursiveCond (value: !lib.isOption value) (path: value: {
          inherit path value;
        }) (import ../settings.nix { inherit lib; })
      )
    )
  );

  # Without line breaks and capitals, which the two write as they like.
  words = text: lib.toLower (lib.trim (lib.replaceStrings [ "\n" ] [ " " ] text));

  missing = lib.subtractLists (lib.attrNames options) (lib.attrNames listed);
  unknown = lib.subtractLists (lib.attrNames listed) (lib.attrNames options);
  differences = lib.concatLists (
    lib.mapAttrsToList (
      key: row:
      lib.optional (options.${key}.type.description != row.type)
        "${key} is ${options.${key}.type.description}, and is listed as ${row.type}"
      ++
        lib.optional (!lib.hasPrefix (words row.decides) (words options.${key}.description))
          "${key} is described as \"${
            lib.trim options.${key}.description
          }\", and listed as \"${row.decides}\""
    ) (lib.intersectAttrs options listed)
  );
in
lib.optional (rows == [ ]) "the list of settings was not understood"
++ map (key: "the module lacks ${key}") missing
++ map (key: "the module has ${key}, which is no setting") unknown
++ differences
