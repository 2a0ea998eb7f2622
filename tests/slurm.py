"""A SLURM of one node in a folder of its own, run by whoever runs the tests."""

import getpass
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

DAEMONS = ("munged", "slurmctld", "slurmd")
SBIN = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"])
# Two files stand for GPUs, so that jobs can ask for one. Without SLURM's accounting database, and
# with a short life of credentials, so that a requeued job does not wait two minutes.
CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={control_port}
SlurmdPort={node_port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
ReturnToService=2
SlurmdTimeout=5
KillWait=5
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=12000 Gres=gpu:2
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> list[str]:
    """The programs of SLURM that are not installed here."""
    return [name for name in (*DAEMONS, "sbatch") if not shutil.which(name, path=SBIN)]


class Slurm:
    """Daemons of SLURM, from `start` to `stop`."""

    def __init__(self, folder: Path):
        self.folder = folder
        configuration, programs = folder / "slurm.conf", folder / "bin"
        self.environment = os.environ | {"SLURM_CONF": str(configuration)}
        self.environment["PATH"] = f"{programs}:{Path(sys.executable).parent}:{SBIN}"
        for name in ("state", "spool", "bin"):
            (folder / name).mkdir()
        # Within a job the executor forgets where this SLURM's configuration is.
        srun = programs / "srun"
        srun.write_text(f'#!/bin/sh\nSLURM_CONF={configuration} exec {shutil.which("srun")} "$@"\n')
        srun.chmod(0o755)
        key = folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o600)
        folder.chmod(0o755)
        host, ports = socket.gethostname().partition(".")[0], _free_ports(2)
        configuration.write_text(
            CONFIGURATION.format(
                host=host,
                folder=folder,
                user=getpass.getuser(),
                control_port=ports[0],
                node_port=ports[1],
            )
        )
        (folder / "gres.conf").write_text("Name=gpu File=/dev/null\nName=gpu File=/dev/zero\n")

    def start(self) -> None:
        """Start all daemons and wait until the node takes jobs."""
        files = {"key": "munge.key", "socket": "munge.socket", "pid": "munged.pid"}
        files |= {"log": "munged.log", "seed": "munge.seed"}
        options = {"key": "--key-file", "socket": "--socket", "pid": "--pid-file"}
        options |= {"log": "--log-file", "seed": "--seed-file"}
        arguments = [f"{options[name]}={self.folder / file}" for name, file in files.items()]
        self.call("munged", "--force", *arguments)
        self.call("slurmctld")
        self.call("slurmd")
        state = "sinfo", "--noheader", "--format=%T"
        self.wait_for(lambda: "idle" in self.call(*state, check=False))

    def stop(self) -> None:
        """End all daemons and whatever jobs are left."""
        self.call("scancel", "--state=RUNNING,PENDING", f"--user={getpass.getuser()}", check=False)
        for name in reversed(DAEMONS):
            self.kill(name, 15)

    def kill(self, daemon: str, number: int) -> None:
        """Send a signal to a daemon and wait until it has ended."""
        path = self.folder / f"{daemon}.pid"
        if not path.is_file():
            return
        process = int(path.read_text())
        os.kill(process, number)
        self.wait_for(lambda: not Path(f"/proc/{process}").exists())

    def call(self, *command: str, check: bool = True) -> str:
        """What a command of SLURM prints."""
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, check=False, timeout=30
        )
        assert not check or done.returncode == 0, (command, done.stderr, self.logs())
        return done.stdout

    def wait_for(self, condition, seconds: float = 30.0) -> None:
        """Wait until a condition holds; fail with the daemons' logs where it does not."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, self.logs()
            time.sleep(0.1)

    def logs(self) -> str:
        """The last lines of all daemons."""
        texts = [path.read_text(errors="replace")[-1500:] for path in self.folder.glob("*.log")]
        return "\n".join(texts)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
