# What NixOS adds to a unit of the package: when it starts, and that these files' change restarts it. The
# environment stays as empty as it is on other distributions.
restartTriggers: {
  wantedBy = [ "multi-user.target" ];
  inherit restartTriggers;
  enableDefaultPath = false;
  environment = {
    LOCALE_ARCHIVE = null;
    TZDIR = null;
  };
}
