"""A real Slurm on this machine: a controller and two nodes, with files and ports of their own.

https://slurm.schedmd.com/programmer_guide.html#multiple_slurmd_support
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from tests.support.host import Unavailable
from tests.support.training import ENV, STEPS, find, free_port, wait_for

NODES = ("one", "two")
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scontrol", "unshare")
# cred_expire: a job that is requeued waits for as long, two minutes by default; 5 is the least.
# sched_interval: and then until the controller looks for jobs to start, each minute by default.
CONFIGURATION = """\
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/controller.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/controller.log
SlurmdLogFile={folder}/%n.log
ProctrackType=proctrack/linuxproc
SchedulerParameters=sched_interval=1,bf_interval=1
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
PartitionName=all Nodes=one,two Default=YES
"""


class Cluster:
    """Two nodes, each on its own as far as Slurm can tell: `with Cluster(folder) as cluster:`."""

    def __init__(self, folder: Path) -> None:
        path = os.environ["PATH"] + ":/usr/sbin"
        missing = [name for name in PROGRAMS if not shutil.which(name, path=path)]
        if missing or os.geteuid():
            raise Unavailable(f"Slurm needs root, and {', '.join(missing) or 'all is there'}")
        self.folder = folder
        self.env = {**os.environ, **ENV, "PATH": path, "SLURM_CONF": str(folder / "slurm.conf")}

    def __enter__(self) -> Cluster:
        (self.folder / "state").mkdir()
        host = socket.gethostname().partition(".")[0]
        text = CONFIGURATION.format(host=host, port=free_port(), folder=self.folder)
        for node in NODES:
            where = f"NodeHostname={host} NodeAddr=127.0.0.1 Port={free_port()}"
            text += f"NodeName={node} {where} CPUs=2\n"
        (self.folder / "slurm.conf").write_text(text)
        # Programs look for a node by its name, and these two are on no name server.
        hosts = Path("/etc/hosts").read_text() + "127.0.0.1 one two\n"
        (self.folder / "hosts").write_text(hosts)
        key = self.folder / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(secrets.token_bytes(1024))
        munge = [f"--{name}={self.folder}/munge.{name}" for name in ("socket", "log-file")]
        munge += [f"--{name}={self.folder}/munge.{name}" for name in ("pid-file", "seed-file")]
        try:
            self.run("munged", "--force", f"--key-file={key}", *munge)
            self.run("slurmctld", "-i")
            for node in NODES:
                named = f'mount --bind "$0" /etc/hosts && exec slurmd -N {node}'
                self.run("unshare", "--mount", "sh", "-c", named, str(self.folder / "hosts"))
            self._wait_for_nodes()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        for path in (*self.folder.glob("*.pid"), self.folder / "munge.pid-file"):
            if path.exists() and (pid := path.read_text().strip()):
                os.kill(int(pid), signal.SIGTERM)

    def run(self, *command: str, cwd: Path | None = None) -> str:
        """Run a command of Slurm, and return what it said. Fails where it does."""
        # Through files: the daemons keep what they inherit open.
        with (self.folder / "said").open("w+") as said:
            done = subprocess.run(command, cwd=cwd, env=self.env, stdout=said, stderr=said)
            said.seek(0)
            text = said.read()
        assert done.returncode == 0, f"{' '.join(command)}: {text}"
        return text

    def submit(self, project: Path, script: str, *options: str) -> str:
        """Submit a batch script from the project's folder. Returns the number of the job."""
        (project / "train.sbatch").write_text(script)
        words = ("sbatch", "--parsable", "--output=slurm.out", *options, "train.sbatch")
        return self.run(*words, cwd=project).strip()

    def state(self, job: str) -> str:
        """The state of a job: PENDING, RUNNING, COMPLETED, FAILED and others."""
        words = self.run("scontrol", "--oneliner", "show", "job", job).split()
        return next(word for word in words if word.startswith("JobState=")).partition("=")[2]

    def wait_for_the_end(self, job: str, log: Path) -> str:
        """Wait until the job is over and will not be requeued. Returns its state."""
        ended = ("COMPLETED", "FAILED", "CANCELLED", "NODE_FAIL", "TIMEOUT")
        wait_for(lambda: self.state(job) in ended, log)
        return self.state(job)

    def train_and_kill_one(self, project: Path, script: str) -> None:
        """Submit a script that trains on both nodes, and kill one of its processes after epoch 1.

        The job has to be requeued, to go on from the end of an epoch, and to complete.
        """
        job = self.submit(project, script)
        log = project / "slurm.out"
        first = f"last-{STEPS:09}.zip"
        wait_for(lambda: list(project.glob(f"outputs/runs/2*/checkpoints/{first}")), log)
        time.sleep(0.2)
        # The first job of every cluster has the same number: that of another test, too.
        ours = f"SLURM_CONF={self.env['SLURM_CONF']}"
        for pid in find(ours, f"SLURM_JOB_ID={job}", "SLURM_PROCID=1", "SLURMD_NODENAME=two"):
            if b"main.py" in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)
        assert self.wait_for_the_end(job, log) == "COMPLETED", log.read_text()
        assert "Restarts=1" in self.run("scontrol", "show", "job", job)
        [resumed] = re.findall(r"Going on from .*last-(\d+)\.zip", log.read_text())
        assert int(resumed) % STEPS == 0

    def _wait_for_nodes(self) -> None:
        deadline = time.monotonic() + 60
        while self.run("sinfo", "--noheader", "--format=%T %D").split() != ["idle", "2"]:
            logs = "".join(path.read_text() for path in self.folder.glob("*.log"))
            assert time.monotonic() < deadline, logs
            time.sleep(0.2)
