# What the daemons demand of the kernel, and don't start without.
#
# system.requiredKernelConfig is not enforced for the kernels of nixpkgs: it is asked here when the host is
# evaluated, as far as its configuration says it, and of the kernel's whole configuration when it is built.
{
  config,
  lib,
  pkgs,
  ...
}:

let
  cfg = config.services.sesame;
  inherit (config.boot.kernelPackages) kernel;

  # Each option of the kernel, and what is lost without it.
  needed =
    lib.optionalAttrs (cfg.memoryProtection == "require") {
      SECRETMEM = "secrets would stay on the kernel's direct map; or set services.sesame.memoryProtection = \"prefer\", which does not meet IL5/IL6, DISA STIG and PCI-DSS requirements for memory isolation";
    }
    // {
      SECURITY_LANDLOCK = "daemons could not confine their files";
      SECCOMP = "daemons could not filter their system calls";
      SECCOMP_FILTER = "daemons could not filter their system calls";
    };

  # Only options that somebody set are in it; a kernel that was configured by a file has none.
  structured = kernel.configfile.structuredConfig or { };
  isOff =
    option:
    !(lib.elem (structured.${option}.tristate or null) [
      null
      "y"
    ]);
in
{
  config = lib.mkIf cfg.enable {
    assertions =
      lib.mapAttrsToList (option: loss: {
        assertion = !isOff option;
        message = "services.sesame: the kernel is configured with ${option}=${
          toString structured.${option}.tristate
        }, and the daemons refuse to start: ${loss}. Remove that from boot.kernelPatches, or set ${option} = lib.kernel.yes there.";
      }) needed
      ++ [
        {
          assertion = lib.elem "landlock" config.security.lsm;
          message = "services.sesame: security.lsm leaves out \"landlock\", by which the daemons confine their files; they refuse to start. Add it.";
        }
        {
          assertion =
            cfg.memoryProtection != "require"
            || !lib.any (parameter: lib.elem parameter config.boot.kernelParams) [
              "secretmem.enable=0"
              "secretmem.enable=n"
              "secretmem.enable=N"
            ];
          message = "services.sesame: boot.kernelParams switches memfd_secret(2) off, and services.sesame.memoryProtection is \"require\": the daemons refuse to start. Remove secretmem.enable, or choose \"prefer\".";
        }
      ];

    # Before Linux 6.5 it is off unless asked for.
    boot.kernelParams = lib.mkIf (
      cfg.memoryProtection == "require" && lib.versionOlder kernel.version "6.5"
    ) [ "secretmem.enable=1" ];

    system.checks = lib.optional (kernel ? configfile) (
      pkgs.runCommand "kernel-has-what-sesame-needs" { } ''
        for option in ${toString (lib.attrNames needed)}; do
          if ! grep --quiet "^CONFIG_$option=y$" ${kernel.configfile}; then
            echo "services.sesame: this kernel is without CONFIG_$option, and the daemons refuse to start" >&2
            exit 1
          fi
        done
        touch $out
      ''
    );
  };
}
