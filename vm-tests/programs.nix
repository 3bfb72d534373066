# The programs that scenarios bring into their machines, none of which is in the image.
{ sesame }:

sesame.overrideAttrs (old: {
  pname = "sesame-test-programs";
  cargoBuildFlags = [
    "--package=testbed"
    "--bins"
  ];
  postInstall = "";
  passthru = { };
  meta = removeAttrs old.meta [ "mainProgram" ];
})
