"""What a sweep costs: beside the bare training loop, the peers, the Trainer and the Tuner."""
