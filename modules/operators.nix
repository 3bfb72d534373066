# The people who may talk to the daemons: their place in the group, and their keys in peers.toml.
{
  config,
  lib,
  pkgs,
  ...
}:

let
  inherit (lib) types;
  cfg = config.services.sesame;

  add = pkgs.writeShellApplication {
    name = "sesame-operators";
    runtimeInputs = [
      cfg.package
      pkgs.coreutils
      pkgs.jq
    ];
    text = lib.readFile ./operators.sh;
  };

  # It runs the same program on the same files as sesame-provision.service: all of that unit's [Service] but what
  # is started. A setting that stands there more than once is a list.
  provision = lib.last (
    lib.splitString "[Service]\n" (
      lib.readFile ../crates/daemon-runtime/systemd/system/sesame-provision.service
    )
  );
  settings = lib.filter (setting: setting != null) (
    map (lib.match "([A-Za-z]+)=(.*)") (lib.splitString "\n" provision)
  );
  confinement = lib.mapAttrs (_: values: if lib.length values == 1 then lib.head values else values) (
    lib.zipAttrs (map (setting: { ${lib.head setting} = lib.last setting; }) settings)
  );
in
{
  options.services.sesame.operators = lib.mkOption {
    type = types.attrsOf (
      types.submodule (
        { name, ... }:
        {
          options = {
            user = lib.mkOption {
              type = types.str;
              default = name;
              defaultText = lib.literalExpression "the attribute's name";
              description = "The user of this host. A peer is known by its user and its key together.";
            };
            key = lib.mkOption {
              type = types.strMatching "[0-9a-f]{64}";
              description = "The person's public key, which `sesame key` shows them.";
            };
            role = lib.mkOption {
              type = types.enum [
                "operator"
                "custodian"
                "auditor"
              ];
              default = "operator";
              description = ''
                What the person may do: everything (`operator`), give a factor and prove that it works
                (`custodian`), or look, verify, export and lock (`auditor`).
              '';
            };
          };
        }
      )
    );
    default = { };
    description = ''
      People, by their names in the trail. They are added to {file}`/etc/pds/peers.toml` before the daemons start,
      and to the group `sesame`, which reaches the sockets. A key that is there is never replaced, and a
      person who is no longer listed here is named in the journal and not removed: edit
      {file}`/etc/pds/peers.toml` for either, as root.
    '';
  };

  config = lib.mkIf (cfg.enable && cfg.operators != { }) {
    assertions = lib.mapAttrsToList (name: operator: {
      assertion = config.users.users ? ${operator.user} || operator.user == "root";
      message = "services.sesame.operators.${name}: there is no user ${operator.user} on this host. Declare it in users.users, or name another in services.sesame.operators.${name}.user.";
    }) cfg.operators;

    users.groups.sesame.members = lib.unique (
      lib.mapAttrsToList (_: operator: operator.user) cfg.operators
    );

    systemd.services.sesame-operators = {
      description = "Sesame: the people whom the configuration names";
      requires = [ "sesame-provision.service" ];
      after = [ "sesame-provision.service" ];
      before = [
        "sesame-audit.service"
        "sesame-secrets.service"
        "cicada.service"
      ];
      wantedBy = [
        "sesame-audit.service"
        "sesame-secrets.service"
      ];
      enableDefaultPath = false;
      environment = {
        LOCALE_ARCHIVE = null;
        TZDIR = null;
      };
      serviceConfig = removeAttrs confinement [ "SuccessExitStatus" ] // {
        ExecStart = "${lib.getExe add} ${
          (pkgs.formats.json { }).generate "operators.json" (
            lib.mapAttrsToList (name: operator: {
              inherit name;
              inherit (operator) user key role;
            }) cfg.operators
          )
        }";
      };
    };

    systemd.services.sesame-audit.restartTriggers = [ (builtins.toJSON cfg.operators) ];
    systemd.services.sesame-secrets.restartTriggers = [ (builtins.toJSON cfg.operators) ];
  };
}
