# Hosts that must not be: `refused` ones by an assertion's sentence, `thrown` ones by the module system's.
{ lib }:

let
  entry = value: source: {
    key = "crypto.kdf";
    inherit value source;
  };
  key = lib.concatStrings (lib.genList (_: "ab") 32);
in
{
  accepted = {
    "a minimal host" = { };
    "a host with cicada, operators and a policy" = {
      services.sesame.policy = [ (entry "argon2id" "one") ];
      services.sesame.operators.root.key = key;
      services.cicada.enable = true;
    };
    "two modules that lock a key to the same value" = {
      services.sesame.policy = [
        (entry "argon2id" "one")
        (entry "argon2id" "two")
      ];
    };
    "a setting that the policy locks to just that" = {
      services.sesame.settings.crypto.kdf = "argon2id";
      services.sesame.policy = [ (entry "argon2id" "one") ];
    };
    "a kernel without SECRETMEM, where that is preferred only" = {
      services.sesame.memoryProtection = "prefer";
      boot.kernelPatches = [
        {
          name = "off";
          patch = null;
          structuredExtraConfig.SECRETMEM = lib.kernel.no;
        }
      ];
    };
    "swap under a key of its own" = {
      swapDevices = [
        {
          device = "/dev/disk/by-partlabel/swap";
          randomEncryption.enable = true;
        }
      ];
    };
    "swap on what the initrd opens with LUKS" = {
      boot.initrd.luks.devices.swap.device = "/dev/disk/by-partlabel/swap";
      swapDevices = [ { device = "/dev/mapper/swap"; } ];
    };
    "a swap file that something else encrypts" = {
      swapDevices = [ { device = "/swap"; } ];
      services.sesame.swapIsEncrypted = true;
    };
  };

  refused = {
    "a kernel without SECRETMEM" = {
      module.boot.kernelPatches = [
        {
          name = "off";
          patch = null;
          structuredExtraConfig.SECRETMEM = lib.kernel.no;
        }
      ];
      says = "the kernel is configured with SECRETMEM=n, and the daemons refuse to start";
    };
    "a kernel without Landlock" = {
      module.boot.kernelPatches = [
        {
          name = "off";
          patch = null;
          structuredExtraConfig.SECURITY_LANDLOCK = lib.mkForce lib.kernel.no;
        }
      ];
      says = "the kernel is configured with SECURITY_LANDLOCK=n";
    };
    "a kernel that is told to leave Landlock out" = {
      module.security.lsm = lib.mkForce [ "yama" ];
      says = "security.lsm leaves out \"landlock\"";
    };
    "a kernel that is told to have no secret memory" = {
      module.boot.kernelParams = [ "secretmem.enable=0" ];
      says = "boot.kernelParams switches memfd_secret(2) off";
    };
    "a host that hibernates" = {
      module.boot.resumeDevice = "/dev/disk/by-partlabel/swap";
      says = "this host is set up to hibernate";
    };
    "a host that resumes by a parameter" = {
      module.boot.kernelParams = [ "resume=/dev/sda2" ];
      says = "this host is set up to hibernate";
    };
    "swap in the clear" = {
      module.swapDevices = [ { device = "/dev/disk/by-partlabel/swap"; } ];
      says = "swap on /dev/disk/by-partlabel/swap is not known to be encrypted";
    };
    "swap on a mapped device that need not be encrypted" = {
      module.swapDevices = [ { device = "/dev/mapper/vg-swap"; } ];
      says = "swap on /dev/mapper/vg-swap is not known to be encrypted";
    };
    "an /etc that nobody can write to" = {
      module = {
        boot.initrd.systemd.enable = true;
        services.userborn.enable = true;
        system.etc.overlay.enable = true;
        system.etc.overlay.mutable = false;
      };
      says = "system.etc.overlay.mutable is false";
    };
    "a policy that contradicts itself" = {
      module.services.sesame.policy = [
        (entry "argon2id" "Key policy, section 4")
        (entry "pbkdf2-sha256" "Another office")
      ];
      says = "crypto.kdf is locked to \"argon2id\" (source: Key policy, section 4) and to \"pbkdf2-sha256\" (source: Another office)";
    };
    "a setting that contradicts the policy" = {
      module.services.sesame = {
        settings.crypto.kdf = "pbkdf2-sha256";
        policy = [ (entry "argon2id" "Key policy, section 4") ];
      };
      says = "settings.crypto.kdf is set to \"pbkdf2-sha256\", but the policy locks crypto.kdf to \"argon2id\" (source: Key policy, section 4)";
    };
    "a default that contradicts the policy" = {
      module.services.sesame.policy = [
        {
          key = "memory.protection";
          value = "prefer";
          source = "one";
        }
      ];
      says = "memoryProtection is \"require\", but the policy locks memory.protection to \"prefer\"";
    };
    "an operator whom the host does not know" = {
      module.services.sesame.operators.alice = { inherit key; };
      says = "services.sesame.operators.alice: there is no user alice on this host";
    };
    "a rule for a group that the host does not have" = {
      module.services.cicada = {
        enable = true;
        identities.mesh.groups = [ "mesh" ];
      };
      says = "this host has no group mesh";
    };
    "a client that is both a user and a group" = {
      module.services.cicada = {
        enable = true;
        clients = [
          {
            user = "root";
            group = "wheel";
            operations = [ "status" ];
          }
        ];
      };
      says = "each has either a user or a group";
    };
    "an identity of a bad name" = {
      module.services.cicada = {
        enable = true;
        identities."../etc".groups = [ "wheel" ];
      };
      says = "a name has 1 to 64 of a-z";
    };
    "cicada without Sesame" = {
      module.services.cicada.enable = true;
      module.services.sesame.enable = false;
      says = "services.sesame.enable is false";
    };
    "a packet filter without cicada's table" = {
      module.services.cicada.enable = true;
      module.services.cicada.nftables = false;
      module.networking.nftables.enable = true;
      says = "services.cicada.nftables is false on a host with nftables";
    };
  };

  thrown = {
    "an option that does not exist" = {
      module.services.sesame.polcy = [ ];
      says = "The option `services.sesame.polcy' does not exist";
    };
    "a value that a setting does not have" = {
      module.services.sesame.settings.crypto.kdf = "md5";
      says = "`services.sesame.settings.crypto.kdf' is not of type";
    };
    "a number out of range" = {
      module.services.sesame.audit.checkpointMinutes = 0;
      says = "`services.sesame.audit.checkpointMinutes' is not of type";
    };
    "an operator's key that is none" = {
      module.services.sesame.operators.root.key = "abc";
      says = "`services.sesame.operators.root.key' is not of type";
    };
    "a policy without a source" = {
      module.services.sesame.policy = [
        {
          key = "crypto.kdf";
          value = "argon2id";
        }
      ];
      says = "policy.\"[definition 1-entry 1]\".source' was accessed but has no value defined";
    };
    "a policy on a setting that does not exist" = {
      module.services.sesame.policy = [
        {
          key = "crypto.kfd";
          value = "argon2id";
          source = "one";
        }
      ];
      says = "policy.\"[definition 1-entry 1]\".key' is not of type `one of \"audit.checkpoint_entries\"";
    };
    "an operation that cicada does not have" = {
      module.services.cicada = {
        enable = true;
        identities.cloud-sync.operations = [ "steal" ];
      };
      says = "`services.cicada.identities.cloud-sync.operations.\"[definition 1-entry 1]\"' is not of type";
    };
  };
}
