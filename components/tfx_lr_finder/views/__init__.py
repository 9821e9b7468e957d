"""Pictures and pages of the evidence."""
