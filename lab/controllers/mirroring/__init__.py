"""EndpointSlices from Endpoints that somebody has made by hand."""
