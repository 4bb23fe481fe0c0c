"""EndpointSlices from Services and their pods."""
