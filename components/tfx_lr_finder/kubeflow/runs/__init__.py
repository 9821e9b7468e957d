"""Runs of compiled pipelines on Kubeflow: how they are started and followed."""
