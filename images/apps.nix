# `nix run .#verify-media -- MEDIUM` and `nix run .#ceremony-vm`. `media` is what packages.ceremony-image makes,
# or null where there is none.
{ pkgs, media }:

let
  inherit (pkgs) lib;
  inherit (pkgs.stdenv) hostPlatform;

  app = description: program: {
    type = "app";
    program = lib.getExe program;
    meta = { inherit description; };
  };
in
{
  verify-media = app "Hold a stick or an image against its manifest, and show its hashes as words" (
    pkgs.writeShellApplication {
      name = "verify-media";
      runtimeInputs = [ pkgs.sesame ];
      text = ''
        exec sesame media verify "$@"
      '';
    }
  );
}
// lib.optionalAttrs (media != null) {
  # As `cargo xtask boot` does it. What the machine writes to its disk is gone afterwards.
  ceremony-vm = app "Try the ceremony image in QEMU, on this terminal" (
    pkgs.writeShellApplication {
      name = "ceremony-vm";
      runtimeInputs = [
        pkgs.coreutils
        pkgs.qemu_kvm
      ];
      text = ''
        variables=$(mktemp)
        trap 'rm -f "$variables"' EXIT
        cat ${pkgs.OVMF.variables} > "$variables"
        disks=(${media}/*.raw)
        acceleration=tcg
        if [ -w /dev/kvm ]; then
          acceleration=kvm
        fi
        echo 'To leave: poweroff in the machine, or Ctrl-A and then X here.' >&2
        ${pkgs.qemu_kvm}/bin/qemu-system-${hostPlatform.qemuArch} \
          -no-user-config -nodefaults -display none -vga none -nic none \
          -machine q35,accel="$acceleration" -cpu max \
          -smp 2 -m 1024 -device virtio-rng-pci -serial mon:stdio -no-reboot \
          -drive if=pflash,unit=0,format=raw,readonly=on,file=${pkgs.OVMF.firmware} \
          -drive if=pflash,unit=1,format=raw,file="$variables" \
          -drive if=none,id=root,format=raw,file="''${disks[0]}",snapshot=on \
          -device virtio-blk-pci,drive=root,bootindex=0 "$@"
      '';
    }
  );
}
