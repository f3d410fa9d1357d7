"""AirNet (CVPR 2022): its network, deformable sampling in plain torch, its released checkpoints."""
