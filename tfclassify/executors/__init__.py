"""Where independent jobs run: in this process, in processes here, or on a Ray cluster."""
