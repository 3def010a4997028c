"""The training program: one job file in, one folder of pictures, curves and LoRAs out."""
