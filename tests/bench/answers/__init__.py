"""What smoothing gains and costs, and how well windows unlike the training data are told apart."""
