"""Enters NCCL under `torchrun`: a sum over all ranks, and a step of DistributedDataParallel. Part of gpu.py."""

import os

import torch
import torch.distributed as dist


def main() -> None:
    """Prints what came out."""
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    torch.cuda.set_device(device)
    dist.init_process_group("nccl")
    ones = torch.ones(4, device=device)
    dist.all_reduce(ones)
    model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(4, 4).to(device), device_ids=[device.index])
    model(torch.rand(8, 4, device=device)).sum().backward()
    version = ".".join(map(str, torch.cuda.nccl.version()))
    print(f"NCCL {version}, {dist.get_world_size()} ranks, sum {ones[0].item():.0f}")
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
