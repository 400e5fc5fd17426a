"""Programs that lie beside an artefact and run where this package is not installed."""
