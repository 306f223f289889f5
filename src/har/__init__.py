"""Human Activity Recognition from wearable inertial sensors: recordings in, a registered model and scored days out."""
