# Cicada on a host: who may do what with which identity.
{
  config,
  lib,
  pkgs,
  ...
}:

let
  inherit (lib) types;
  cfg = config.services.cicada;

  operation = types.enum [
    "get_key"
    "sign"
    "public_key"
    "encapsulate"
    "decapsulate"
    "identities"
    "status"
    "init"
    "unlock"
    "lock"
    "create"
    "rotate"
    "revoke"
    "backup"
    "restore"
  ];
  identityName = types.strMatching "[a-z0-9][a-z0-9_.-]{0,63}";

  rulesOf =
    identity:
    {
      users,
      groups,
      operations,
    }:
    map (uid: { inherit uid identity operations; }) users
    ++ map (gid: { inherit gid identity operations; }) groups;

  rules =
    lib.concatLists (lib.mapAttrsToList rulesOf cfg.identities)
    ++ map (
      client:
      lib.optionalAttrs (client.user != null) { uid = client.user; }
      // lib.optionalAttrs (client.group != null) { gid = client.group; }
      // {
        inherit (client) identity operations;
      }
    ) cfg.clients;

  file = (pkgs.formats.toml { }).generate "cicada.toml" {
    grace_seconds = cfg.graceSeconds;
    allow = rules;
  };
in
{
  imports = [
    ./sesame.nix
    (lib.mkAliasOptionModule [ "services" "cicada" "package" ] [ "services" "sesame" "package" ])
  ];

  options.services.cicada = {
    enable = lib.mkEnableOption "cicada: post-quantum identities for this host's programs, behind one Unix socket";

    identities = lib.mkOption {
      type = types.attrsOf (
        types.submodule {
          options = {
            users = lib.mkOption {
              type = types.listOf types.str;
              default = [ ];
              description = "Users whose programs use this identity.";
            };
            groups = lib.mkOption {
              type = types.listOf types.str;
              default = [ ];
              example = [ "cloud-sync" ];
              description = "Groups whose members' programs do, supplementary ones included.";
            };
            operations = lib.mkOption {
              type = types.listOf operation;
              default = [
                "get_key"
                "sign"
                "public_key"
                "encapsulate"
                "decapsulate"
                "identities"
                "status"
              ];
              description = "What they may ask for.";
            };
          };
        }
      );
      default = {
        cloud-sync.groups = [ "cloud-sync" ];
      };
      description = ''
        Who uses which identity. This gives access and makes no keys: `sesame cicada identity create NAME` does,
        once, when cicada is unlocked.
      '';
    };

    clients = lib.mkOption {
      type = types.listOf (
        types.submodule {
          options = {
            user = lib.mkOption {
              type = types.nullOr types.str;
              default = null;
              description = "A user; or a group, and not both.";
            };
            group = lib.mkOption {
              type = types.nullOr types.str;
              default = null;
              description = "A group; or a user, and not both.";
            };
            identity = lib.mkOption {
              type = types.either (types.enum [ "*" ]) identityName;
              default = "*";
              description = "One identity, or `*` for every one.";
            };
            operations = lib.mkOption {
              type = types.listOf operation;
              description = "What it may ask for.";
            };
          };
        }
      );
      default = [
        {
          user = "root";
          operations = [
            "status"
            "identities"
            "public_key"
            "init"
            "unlock"
            "lock"
            "create"
            "rotate"
            "revoke"
            "backup"
            "restore"
          ];
        }
      ];
      description = ''
        Everybody else who may ask for something: those who administer. By default that is root, who
        reads no private key. What no rule allows is refused and recorded.
      '';
    };

    graceSeconds = lib.mkOption {
      type = types.ints.between 0 315360000;
      default = 604800;
      description = "Seconds that the earlier keys of a rotated identity stay readable.";
    };

    nftables = lib.mkOption {
      type = types.bool;
      default = true;
      description = ''
        Whether the machine's packet filter drops every packet of cicada's user. It is the second lock: the
        daemon has no network in the first place. The table is one of its own (`inet cicada`), beside those of
        {option}`networking.nftables` or {option}`networking.firewall`.
      '';
    };
  };

  config = lib.mkIf cfg.enable {
    services.sesame.enable = lib.mkDefault true;

    assertions = [
      {
        assertion = config.services.sesame.enable;
        message = "services.cicada: services.sesame.enable is false, and cicada does nothing that Sesame's audit daemon has not recorded. Remove that setting.";
      }
      {
        assertion = lib.all (client: (client.user == null) != (client.group == null)) cfg.clients;
        message = "services.cicada.clients: each has either a user or a group.";
      }
      {
        assertion = lib.all (name: lib.match "[a-z0-9][a-z0-9_.-]{0,63}" name != null) (
          lib.attrNames cfg.identities
        );
        message = "services.cicada.identities: a name has 1 to 64 of a-z, 0-9, \"-\", \"_\" and \".\", and begins with a letter or a digit.";
      }
      (
        let
          users = lib.filter (name: !(config.users.users ? ${name})) (lib.catAttrs "uid" rules);
          groups = lib.filter (name: !(config.users.groups ? ${name})) (lib.catAttrs "gid" rules);
        in
        {
          assertion = users == [ ] && groups == [ ];
          message = "services.cicada: this host has no ${
            lib.concatStringsSep ", " (map (name: "user ${name}") users ++ map (name: "group ${name}") groups)
          }, and cicada would not start. Declare it in users, or take it out of identities and clients.";
        }
      )
      {
        assertion = cfg.nftables || !config.networking.nftables.enable;
        message = "services.cicada.nftables is false on a host with nftables: cicada finds no rule for its user there, and does not start. Leave it at true; its table is one of its own.";
      }
    ];

    environment.etc."cicada/cicada.toml".source = file;
    # `cicada verify-isolation` looks for nft here.
    environment.systemPackages = lib.mkIf cfg.nftables [ pkgs.nftables ];

    systemd.services = {
      cicada = import ./daemon.nix [ file ];
      cicada-nftables = lib.mkIf (!cfg.nftables) { enable = false; };
      # It reads at its start who may write into the trail.
      sesame-audit.restartTriggers = [ "cicada" ];
    };

    # As in sysusers.d/cicada.conf.
    users.groups = {
      cicada = { };
      cloud-sync = { };
    };
    users.users.cicada = {
      isSystemUser = true;
      group = "cicada";
      extraGroups = [ "sesame" ];
      description = "Cicada post-quantum identities";
    };
  };
}
