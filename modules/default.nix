# A host with Sesame's daemons and, where it is enabled, cicada.
{
  imports = [
    ./sesame.nix
    ./cicada.nix
  ];
}
