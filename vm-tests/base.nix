# One scenario as a NixOS test: the script that our own driver runs, on machines that boot the ceremony image
# as it ships. A node's own configuration is not what is tested, and is never built.
{
  # The name of the scenario, and the directory of NAME.py and NAME.toml.
  name,
  scenarios,
  # The directory of disk, UKI and manifest.
  media,
  # The file names in it, before their endings.
  mediaName,
  sesame,
  # The programs that scenarios bring into their machines.
  testPrograms,
  # A program that every boot of the image starts.
  bootedProgram,
}:
{
  config,
  hostPkgs,
  lib,
  ...
}:

let
  description = lib.importTOML (scenarios + "/${name}.toml");

  # scenario_lib, our driver's parts, and what fits them to the driver of NixOS.
  modules = hostPkgs.linkFarm "vm-test-modules" {
    scenario_lib = ./driver/scenario_lib;
    vm_driver = ./driver/vm_driver;
    nixos_driver = ./nixos/nixos_driver;
  };
  modulesOfPython =
    ps:
    ps.toPythonModule (
      hostPkgs.runCommand "vm-test-modules" { } ''
        mkdir -p $out/${ps.python.sitePackages}
        cp --recursive --dereference ${modules}/. $out/${ps.python.sitePackages}
      ''
    );

  firmware = hostPkgs.linkFarm "vm-test-firmware" {
    "OVMF_CODE_4M.fd" = hostPkgs.OVMF.firmware;
    "OVMF_VARS_4M.fd" = hostPkgs.OVMF.variables;
  };
  tools = with hostPkgs; [
    config.qemu.package
    binutils
    coreutils
    dosfstools
    e2fsprogs
    erofs-utils
    mtools
    swtpm
    systemdUkify
    util-linux
  ];

  # Of the driver and of the start scripts.
  environment = {
    PATH = lib.makeBinPath tools;
    SESAME_DISK = "${media}/${mediaName}.raw";
    SESAME_UKI = "${media}/${mediaName}.efi";
    SESAME_FIRMWARE = firmware;
    SESAME_SCENARIOS = scenarios;
    SESAME_PROGRAM = lib.getExe sesame;
    SESAME_TEST_PROGRAMS = "${testPrograms}/bin";
    SESAME_BOOTED_PROGRAM = bootedProgram;
    # Where scenarios find systemd's programs for the firmware.
    SESAME_EFI_PROGRAMS = "${hostPkgs.systemd}/lib/systemd/boot/efi";
  };

  start =
    machine:
    hostPkgs.writeShellApplication {
      name = "run-${machine}-vm";
      runtimeInputs = [ (hostPkgs.python3.withPackages (ps: [ (modulesOfPython ps) ])) ];
      text = ''exec python3 -m nixos_driver.start ${name} ${machine} "$@"'';
    };
in
{
  inherit name;
  globalTimeout = description.time_limit_seconds;
  extraPythonPackages = ps: [ (modulesOfPython ps) ];
  # mypy --strict checks scenarios, and all that they import, against our own driver, which has the same interface.
  skipTypeCheck = true;

  nodes = lib.mapAttrs (machine: _: {
    virtualisation.vlans = [ ];
    system.build.vm = lib.mkForce (start machine);
  }) description.machines;

  testScript = ''
    from nixos_driver.adapt import adapt
    from test_driver.errors import RequestedAssertionFailed

    adapt(driver, "${name}", RequestedAssertionFailed, ${builtins.toJSON environment})

  ''
  + builtins.readFile (scenarios + "/${name}.py");
}
