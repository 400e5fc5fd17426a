"""Pages that are served: the studio, the demo and the prediction server."""
