# Two hosts of a fleet with a cicada each, and a WireGuard tunnel between them whose keys are cicada's.
# NixOS only: the ceremony appliance has neither a network nor cicada.
{ self }:
{ ... }:
{
  name = "cicada-tunnel";
  globalTimeout = 900;
  # As in base.nix.
  skipTypeCheck = true;

  defaults =
    { pkgs, ... }:
    {
      imports = [ self.nixosModules.default ];
      services.sesame.enable = true;
      # RFC 7748, section 6.1: Alice's public key.
      services.sesame.operators.alice.key =
        "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a";
      users.users.alice.isNormalUser = true;
      # By default the group cloud-sync uses the identity of its name.
      services.cicada.enable = true;

      users.users.cloud-sync = {
        isSystemUser = true;
        group = "cloud-sync";
      };
      boot.kernelModules = [ "wireguard" ];
      networking.firewall = {
        allowedUDPPorts = [ 51820 ];
        trustedInterfaces = [ "wg0" ];
      };
      environment.systemPackages = [
        (pkgs.callPackage ./cloud-sync.nix { })
        pkgs.wireguard-tools
      ];
    };

  nodes = {
    left = { };
    right = { };
  };

  testScript = builtins.readFile ./nixos/cicada-tunnel.py;
}
