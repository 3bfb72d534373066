{
  inputs.sesame.url = "git+ssh://git@git.example.org/sesame";
  inputs.nixpkgs.follows = "sesame/nixpkgs";
  outputs = inputs: {
    nixosConfigurations.keys-1 = inputs.nixpkgs.lib.nixosSystem {
      modules = [
        inputs.sesame.nixosModules.default
        ./hardware.nix
        {
          services.sesame.enable = true;
          services.sesame.settings.unlock.auto_lock_seconds = 300;
          services.sesame.operators.alice.key =
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
          services.cicada.enable = true;
          users.users.alice.isNormalUser = true;
        }
      ];
    };
  };
}
