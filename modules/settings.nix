# The keys of config.toml, as `sesame config keys` lists them: names, values and what each decides.
{ lib }:

let
  inherit (lib) types;

  key =
    type: description:
    lib.mkOption {
      type = types.nullOr type;
      default = null;
      description = "${description} `null`: the daemons' own default.";
    };
  choice = names: key (types.enum names);
  number = least: most: key (types.ints.between least most);
  flag = key types.bool;
in
{
  crypto = {
    profile = choice [ "leading-edge" "governance-compatible" ] ''
      The set of the five algorithms below, as a whole.
    '';
    kdf = choice [ "argon2id" "pbkdf2-sha256" ] ''
      How a password becomes a key.
    '';
    hkdf = choice [ "blake3" "hkdf-sha256" ] ''
      How one key becomes many.
    '';
    audit_hash = choice [ "blake3" "sha256" ] ''
      The hash that chains the audit trail.
    '';
    noise_cipher = choice [ "chachapoly" "aesgcm" ] ''
      The cipher between peers.
    '';
    noise_hash = choice [ "blake2s" "sha256" ] ''
      The hash between peers.
    '';
    minimum_peer_profile = choice [ "custom" "governance-compatible" "leading-edge" ] ''
      The least that the pair of Noise algorithms may amount to.
    '';
  };

  memory.protection = choice [ "require" "prefer" "off" ] ''
    What to do when memfd_secret(2) is unavailable. Set {option}`services.sesame.memoryProtection`
    instead.
  '';

  sandbox = {
    landlock = choice [ "require" "off" ] ''
      Whether daemons confine their files with Landlock.
    '';
    seccomp = choice [ "require" "off" ] ''
      Whether daemons filter their system calls.
    '';
  };

  enrolment.allow_below_floor = flag ''
    Whether factors may be enrolled while secret memory is below its floor.
  '';

  auth = {
    mode = choice [ "any" "all" "policy" ] ''
      Which factors open a profile: each alone, all together, or as auth.policy says.
    '';
    policy = {
      required =
        key
          (types.listOf (
            types.enum [
              "password"
              "ssh-agent"
              "tpm"
              "fido2"
              "yubikey"
              "share"
            ]
          ))
          ''
            In mode policy: the kinds of which one factor each is needed.
          '';
      additional_required = number 0 16 ''
        In mode policy: how many of the other factors are needed.
      '';
    };
  };

  unlock = {
    minimum_password_length = number 1 128 ''
      The shortest password that may be enrolled, in bytes.
    '';
    free_attempts = number 0 10 ''
      Wrong tries before the first delay.
    '';
    backoff_base_seconds = number 1 60 ''
      The first delay; each further wrong try doubles it.
    '';
    backoff_max_seconds = number 1 86400 ''
      The longest delay; at least the first.
    '';
    auto_lock_seconds = number 0 86400 ''
      Idle time after which a profile locks itself; 0 is never.
    '';
    deadline_seconds = number 10 3600 ''
      How long the factors of one unlock may be spread over people and terminals; then what was given
      is forgotten.
    '';
  };

  audit = {
    segment_bytes = number 65536 1073741824 ''
      Size at which the trail begins its next segment.
    '';
    checkpoint_entries = number 1 1000000 ''
      New entries after which the trail is sealed by a signed checkpoint.
    '';
    checkpoint_minutes = number 1 1440 ''
      Time after which new entries, however few, are sealed.
    '';
  };
}
