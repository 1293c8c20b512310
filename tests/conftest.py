"""What all tests share: property tests are never failed for being slow, which a loaded machine makes of any."""

from hypothesis import HealthCheck, settings

settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")
