"""What this machine is: versions, devices, and installed packages that exclude each other."""
