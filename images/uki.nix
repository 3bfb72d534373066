# The unified kernel image: kernel, initrd and command line in one file, whose hash is published.
#
# As in the Debian-built image (images/appliance/README.md, "What starts it"), the first program of the initrd is
# crates/initrd-guard, which goes on with the UKI's own command line only, root hash included; until it has looked,
# no other program can be started, since the dynamic loader is no executable file; and the stub is deaf to what
# lies beside the UKI. The program that adds the line and changes the stub is Debian's image's too.
#
# Without Secure Boot somebody who can write to the medium replaces the UKI itself. `sesame media verify` on another
# machine tells, and PCR 4 and 11.
{
  config,
  lib,
  pkgs,
  ...
}:

let
  inherit (config.system.boot.loader) ukiFile;
  inherit (config.image.repart) partitions verityStore;
  inherit (config.boot.initrd.systemd) package;

  guard = pkgs.callPackage ./initrd-guard.nix { sesame = config.ceremony.package; };
  loader = pkgs.stdenv.cc.bintools.dynamicLinker;
  treeType = partitions.${verityStore.partitionIds.store-verity}.repartConfig.Type;

  # What a stub looks for beside its UKI is the same in 257 and 262; it refuses one that has something else.
  ukify = pkgs.runCommand "ceremony-ukify" { } ''
    substitute ${./debian/tools/ukify} $out \
      --replace-fail '/usr/bin/ukify' '${lib.getExe' pkgs.buildPackages.systemdUkify "ukify"}' \
      --replace-fail 'systemd-stub 257\.' 'systemd-stub 26[0-2]'
  '';
in
{
  boot.initrd.systemd.contents = {
    "/init".source = lib.mkForce "${guard}/bin/initrd-guard";
    # The guard's names for what it starts, and for the loader.
    "/usr/lib/systemd/systemd".source = "${package}/lib/systemd/systemd";
    "/usr/lib64/ld-linux-x86-64.so.2".source = loader;
  };

  system.build.uki = lib.mkOverride 98 (
    pkgs.runCommand ukiFile
      {
        nativeBuildInputs = with pkgs.buildPackages; [
          cpio
          jq
          patchelf
          (python3.withPackages (ps: [ ps.pefile ]))
          zstd
        ];
      }
      ''
        usrhash=$(jq --raw-output '.[] | select(.type == "${treeType}") | .roothash' \
          ${config.system.build.intermediateImage}/repart-output.json)
        printf 'usrhash=%s %s' "$usrhash" \
          'init=${config.system.build.toplevel}/init ${toString config.boot.kernelParams}' > command-line

        # Of two files of one name the kernel keeps the later one, with its mode.
        mkdir -p loader$(dirname ${loader})
        cp ${loader} loader${loader}
        find loader -type d -exec chmod 0755 {} + -o -type f -exec chmod 0644 {} +
        find loader -exec touch --no-dereference --date=@1 {} +
        (cd loader && find . -mindepth 1 -print0 | sort --zero-terminated \
          | cpio --quiet --create --format=newc --owner=+0:+0 --reproducible --null) > loader.cpio

        mkdir initrd
        (cd initrd && zstd --decompress --stdout ${config.system.build.initialRamdisk}/initrd \
          | cpio --quiet --extract --make-directories --no-absolute-filenames)
        find initrd -type f -perm /111 | while read -r file; do
          [ "$(head --bytes=4 "$file" | tr --delete '\0')" = $'\x7fELF' ] || continue
          interpreter=$(patchelf --print-interpreter "$file" 2>/dev/null || true)
          # A library has no interpreter, nor has another C library's loader, which musl calls libc.so.
          case "$interpreter:$file" in
            ${loader}:* | :initrd${loader} | :initrd${guard}/*) continue ;;
            :*/ld-* | :*/ld.so* | :*/libc.so | :*/libc.musl-*) ;;
            :*.so | :*.so.*) continue ;;
          esac
          echo "$file could be started before the guard has looked" >&2
          exit 1
        done

        mkdir $out
        SOURCE_DATE_EPOCH=1 python3 ${ukify} build --config=${config.boot.uki.configFile} \
          --stub=${config.boot.uki.settings.UKI.Stub} --cmdline=@command-line --initrd=loader.cpio \
          --output=$out/${ukiFile}
      ''
  );
}
