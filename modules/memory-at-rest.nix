# What would write memory to a disk: hibernation, and swap that is not encrypted.
#
# The daemons' own memory is locked and never swapped (MemorySwapMax=0). A program that was given a secret, and a
# terminal that showed one, have no such protection.
{ config, lib, ... }:

let
  cfg = config.services.sesame;
  # A mapped device may be a plain logical volume. The configuration shows which are LUKS.
  opened = map (luks: "/dev/mapper/${luks.name}") (lib.attrValues config.boot.initrd.luks.devices);
  isPlain =
    swap: !(swap.randomEncryption.enable || swap.encrypted.enable || lib.elem swap.device opened);
  plain = lib.filter isPlain config.swapDevices;
in
{
  options.services.sesame.swapIsEncrypted = lib.mkOption {
    type = lib.types.bool;
    default = false;
    description = ''
      Says that all swap is encrypted where the configuration does not show it: a swap file on an
      encrypted file system, a logical volume on an encrypted disk, or a partition that something else
      encrypts. It shows {option}`randomEncryption` of {option}`swapDevices`, and what is opened by
      {option}`boot.initrd.luks.devices`.
    '';
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion =
          config.boot.resumeDevice == "" && !lib.any (lib.hasPrefix "resume=") config.boot.kernelParams;
        message = "services.sesame: this host is set up to hibernate (boot.resumeDevice or resume=), which writes all of its memory to a disk. Remove that; the kernel refuses to hibernate anyway while a program holds secret memory.";
      }
      {
        assertion = plain == [ ] || cfg.swapIsEncrypted;
        message = "services.sesame: swap on ${
          lib.concatMapStringsSep " and " (swap: swap.device) plain
        } is not known to be encrypted, and what a secret was given to may be written there. Set randomEncryption.enable = true in swapDevices, use zramSwap or a device that boot.initrd.luks.devices opens, or, where something else encrypts it, services.sesame.swapIsEncrypted = true.";
      }
    ];

    # systemd finds a place to hibernate to by itself, wherever there is swap.
    boot.kernelParams = [ "nohibernate" ];
  };
}
