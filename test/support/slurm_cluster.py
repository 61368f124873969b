"""A real Slurm cluster on this machine: Debian's daemons, a controller and two nodes as virtual machines.

By hand, as root: `PYTHONPATH=.:test python -m support.slurm_cluster [--accounting]` starts one, prints what to export,
and ends it at Ctrl-C or the end of standard input.
"""

import argparse
import contextlib
import os
import re
import secrets
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from ci.system.process_identity import Owner, owner_of_self
from support.docker_engines import unmount
from support.files import wait_for
from support.full_disk import file_system
from support.ports import free_ports
from support.slurm_configuration import ACCOUNT, CLUSTER, QOS, Configuration
from support.virtual_machines import VirtualMachine, command_line, need_for_machines

__all__ = ["NODES", "Cluster", "Job", "need_slurm", "sweep_clusters"]

NODES: Final = ("n1", "n2")
_FOLDERS: Final = "slurm-ci-"
_PACKAGES: Final = {
    "munged": "munge",
    "slurmctld": "slurm-wlm",
    "slurmd": "slurm-wlm",
    "sbatch": "slurm-wlm",
    "slurmdbd": "slurmdbd",
    "mariadbd": "mariadb-server",
}
_FAKETIME: Final = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")
# jobs' processes that Slurm itself knows nothing of any more
_DAEMONS: Final = ("slurmd", "slurmstepd", "nsenter")


@dataclass(frozen=True, kw_only=True)
class Job:
    """What the controller says of a job; `fields` are those of `scontrol show job -o`."""

    id: int
    fields: dict[str, str]

    @property
    def state(self) -> str:
        return self.fields["JobState"]

    @property
    def reason(self) -> str:
        return self.fields["Reason"]


class Cluster:
    """Partitions `ci`, `hi` (preempts jobs of `ci`, which are requeued) and `short` (a minute at most).

    Each node has 8 GPUs, 8 CPUs, a host name, processes and mounts of its own. Files are shared, so every folder is on
    "the shared file system" until a node does not see it (`hide`). What is started dies with this process; what a
    killed one left in /tmp is removed by the next start.
    """

    def __init__(
        self, *, accounting: bool = False, min_job_age_s: int = 300, slurmd_timeout_s: int = 3
    ) -> None:
        """`min_job_age_s`: after that time Slurm forgets a job that has ended."""
        # sockets need a short path
        self.folder: Final = Path(tempfile.gettempdir()) / f"{_FOLDERS}{secrets.token_hex(3)}"
        ports = free_ports(4)
        self._configuration = Configuration(
            folder=self.folder,
            nodes=dict(zip(NODES, ports[:2], strict=True)),
            controller_port=ports[2],
            accounting_port=ports[3] if accounting else None,
            min_job_age_s=min_job_age_s,
            slurmd_timeout_s=slurmd_timeout_s,
        )
        self._controller = VirtualMachine("ctl")
        self.nodes: Final = {name: VirtualMachine(name) for name in NODES}
        self._daemons: list[subprocess.Popen[bytes]] = []
        self._hidden: dict[str, set[Path]] = {name: set() for name in NODES}
        self._skewed: set[str] = set()

    # --- for clients ------------------------------------------------------------------------------------

    @property
    def conf(self) -> Path:
        """What SLURM_CONF has to be for clients."""
        return self._configuration.clients

    @property
    def environ(self) -> dict[str, str]:
        """This process's environment, with SLURM_CONF."""
        return {**os.environ, "SLURM_CONF": str(self.conf)}

    @property
    def shared(self) -> Path:
        """An empty folder that every node sees, with the mounts that are made below it later."""
        return self.folder / "shared"

    def client(self, *argv: str, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
        """A Slurm command to its end."""
        return subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            env=self.environ,
            check=False,
        )

    def ask(self, *argv: str) -> str:
        """Standard output of a Slurm command. Raises AssertionError when it fails."""
        done = self.client(*argv)
        assert done.returncode == 0, (
            f"{' '.join(argv)}: exit {done.returncode}: {done.stderr}{done.stdout}\n{self.log_tail()}"
        )
        return done.stdout.strip()

    # --- jobs -------------------------------------------------------------------------------------------

    def submit(self, script: str, *options: str) -> int:
        """A batch job of a few lines of shell, without output files; returns its id."""
        script_file = self.folder / f"{secrets.token_hex(4)}.sh"
        script_file.write_text(f"#!/bin/sh\n{script}\n")
        quiet = ("-o", "/dev/null", "-D", "/")
        return int(self.ask("sbatch", "--parsable", *quiet, *options, str(script_file)).partition(";")[0])

    def jobs(self) -> list[Job]:
        """All jobs that the controller has not forgotten."""
        lines = self.ask("scontrol", "show", "job", "-o").splitlines()
        found = (dict(re.findall(r"(\S+?)=(\S*)", line)) for line in lines if line.startswith("JobId="))
        return [Job(id=int(fields["JobId"]), fields=fields) for fields in found]

    def job(self, number: int) -> Job | None:
        """One of them; None when it is forgotten."""
        return next((job for job in self.jobs() if job.id == number), None)

    def wait_for_state(self, number: int, *states: str, timeout_s: float = 30) -> Job:
        """Wait until a job is in one of these states."""
        found: list[Job] = []

        def arrived() -> bool:
            job = self.job(number)
            assert job is not None, f"job {number} is forgotten"
            found[:] = [job]
            return job.state in states

        try:
            wait_for(f"job {number} to be {' or '.join(states)}", arrived, timeout_s)
        except AssertionError as error:
            raise AssertionError(f"{error}; it is {found[0].fields if found else '?'}") from None
        return found[0]

    def end_time_limit(self, number: int) -> None:
        """Have a job's time limit be over: Slurm ends it when it looks next, within 30 s."""
        self.ask("scontrol", "update", f"jobid={number}", "EndTime=now+1")

    def allocations(self) -> list[int]:
        """Jobs that hold nodes or wait for them, those that are being completed too."""
        return [int(line) for line in self.ask("squeue", "-h", "-o", "%A").split()]

    # --- faults -----------------------------------------------------------------------------------------

    def kill_slurmd(self, node: str) -> None:
        """SIGKILL: the jobs' processes live on."""
        self.nodes[node].kill("slurmd -D")
        wait_for(f"the end of slurmd on {node}", lambda: not self.nodes[node].processes("slurmd -D"), 10)

    def stop_controller(self) -> None:
        """End slurmctld: jobs and nodes live on, and no command of Slurm gets an answer.

        By SIGTERM, so that it keeps what it knows: killed, it forgets the jobs of the last seconds and gives their numbers again.
        """
        for pid in self._controller.processes("slurmctld -D"):
            os.kill(pid, signal.SIGTERM)
        wait_for("the end of slurmctld", lambda: not self._controller.processes("slurmctld -D"), 20)

    def start_controller(self) -> None:
        """Start slurmctld, which knows what it knew before."""
        self._start(self._controller, "slurmctld", "-D", "-f", str(self.conf))
        wait_for("slurmctld", self._answers("scontrol", "ping"), 20)

    def start_slurmd(self, node: str, *, skew_s: int = 0) -> None:
        """Start it with a clock that is so many seconds ahead, for its jobs' processes too."""
        clock = self.folder / f"clock.{node}"
        clock.unlink(missing_ok=True)
        environ = {}
        if skew_s:
            if not _FAKETIME.exists():
                raise AssertionError("faketime is missing: apt-get install faketime")
            # times of files stay those of the file server, and waiting takes as long as ever
            environ = {
                "LD_PRELOAD": str(_FAKETIME),
                "FAKETIME": f"{skew_s:+d}",
                "NO_FAKE_STAT": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                "DONT_FAKE_MONOTONIC": "1",
            }
            clock.write_text("".join(f"export {name}={value}\n" for name, value in environ.items()))
            self._skewed.add(node)
        else:
            self._skewed.discard(node)
        conf = str(self._configuration.of_nodes)
        self._start(self.nodes[node], "slurmd", "-D", "-N", node, "-f", conf, environ=environ)

    def set_clock(self, node: str, skew_s: int) -> None:
        """Set the clock of a node and of the jobs that start from now on so many seconds ahead; 0 sets it right."""
        self.kill_slurmd(node)
        self.start_slurmd(node, skew_s=skew_s)
        self.wait_until_idle(node)

    def set_node(self, node: str, state: str, reason: str = "a test") -> None:
        """`down`, `drain`, `resume` ..."""
        self.ask("scontrol", "update", f"nodename={node}", f"state={state}", f"reason={reason}")

    def node_state(self, node: str) -> str:
        """In Slurm's long form, such as `idle`, `mixed`, `down*`."""
        # sinfo shows a job that has ended until the node is asked for itself
        self.client("scontrol", "show", "node", node)
        return self.ask("sinfo", "-h", "-N", "-n", node, "-p", "ci", "-o", "%T")

    def hide(self, node: str, folder: Path) -> None:
        """Have a node see an empty folder there, as one where the shared file system is not mounted."""
        self.nodes[node].hide(folder)
        self._hidden[node].add(folder)

    def make_read_only(self, node: str, folder: Path) -> None:
        """Have a node unable to write there."""
        self.nodes[node].make_read_only(folder)
        self._hidden[node].add(folder)

    def show(self, node: str, folder: Path) -> None:
        """Undo both."""
        self.nodes[node].show(folder)
        self._hidden[node].discard(folder)

    def small_folder(self, size_kib: int) -> contextlib.AbstractContextManager[Path]:
        """A shared folder on a file system that is soon full."""
        return file_system(self.shared / f"small-{secrets.token_hex(3)}", f"size={size_kib}k")

    def vanish(self, node: str) -> None:
        """Take a node's power away: slurmd, the jobs' processes, all at once."""
        self.nodes[node].switch_off()
        self._hidden[node].clear()

    def return_node(self, node: str) -> None:
        """Switch it on again."""
        self.nodes[node].switch_on()
        self.start_slurmd(node)

    def leftovers(self, node: str) -> list[int]:
        """Processes of jobs on a node that is on."""
        daemons = {pid for name in _DAEMONS for pid in self.nodes[node].processes(name)}
        return [pid for pid in self.nodes[node].processes() if pid not in daemons]

    def leftover_commands(self, node: str) -> list[str]:
        """Their command lines."""
        return [line for pid in self.leftovers(node) if (line := command_line(pid))]

    # --- start, health, stop -----------------------------------------------------------------------------

    def start(self) -> Self:
        """Start it; both nodes are idle then."""
        need_slurm(accounting=self._configuration.accounting_port is not None)
        sweep_clusters()
        self._make_folder()
        try:
            self._controller.switch_on()
            for node in self.nodes.values():
                node.switch_on()
            self._start_controller()
            for name in self.nodes:
                self.start_slurmd(name)
            for name in self.nodes:
                self.wait_until_idle(name)
        except BaseException:
            self.stop()
            raise
        return self

    def _make_folder(self) -> None:
        owner = owner_of_self()
        self.folder.mkdir(mode=0o755)
        (self.folder / "owner").write_text(f"{owner.pid} {owner.start_ticks} {owner.boot_id}")
        for name in ("dev", "state", "log", "shared", "database", *(f"spool.{node}" for node in self.nodes)):
            (self.folder / name).mkdir()
        for number in range(8):
            os.mknod(self.folder / f"dev/gpu{number}", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        self._configuration.write()
        shared = str(self.shared)
        subprocess.run(["mount", "--bind", shared, shared], check=True)
        subprocess.run(["mount", "--make-shared", shared], check=True)

    def _start_controller(self) -> None:
        conf = self._configuration
        ctl = self._controller
        munge = [f"--{name}={self.folder}/munge.{name.split('-')[0]}" for name in ("pid-file", "seed-file")]
        self._start(
            *(ctl, "munged", "--foreground", f"--socket={conf.munge_socket}"),
            *(f"--key-file={conf.munge_key}", f"--log-file={self.folder}/log/munged", *munge),
        )
        wait_for("munged", conf.munge_socket.exists, 10)
        if conf.accounting_port is not None:
            self._start_accounting()
        self.start_controller()

    def _start_accounting(self) -> None:
        database, socket = self.folder / "database", self.folder / "mariadb.sock"
        # its files in /tmp have names by its process id, which other clusters' servers have too
        common = ("--no-defaults", f"--datadir={database}", f"--tmpdir={self.folder}", "--user=root")
        self._controller.run(
            "mariadb-install-db", *common, "--auth-root-authentication-method=normal", "--skip-test-db"
        )
        self._start(
            *(
                self._controller,
                "mariadbd",
                *common,
                f"--socket={socket}",
                f"--pid-file={self.folder}/mariadb.pid",
            ),
            *("--skip-networking", "--innodb-flush-log-at-trx-commit=0", "--innodb-log-file-size=4M"),
        )
        wait_for("mariadbd", socket.exists, 20)
        # it looks for slurmdbd.conf beside slurm.conf
        environ = {"SLURM_CONF": str(self.conf), "MYSQL_UNIX_PORT": str(socket)}
        self._start(self._controller, "slurmdbd", "-D", environ=environ)
        wait_for("slurmdbd", self._answers("sacctmgr", "-n", "show", "cluster"), 20)
        for words in (
            ("cluster", CLUSTER),
            ("qos", QOS),
            ("account", ACCOUNT),
            ("user", "root", f"account={ACCOUNT}", f"qos=normal,{QOS}", "defaultqos=normal"),
        ):
            self.ask("sacctmgr", "-i", "add", *words)

    def _answers(self, *argv: str) -> Callable[[], bool]:
        return lambda: self.client(*argv).returncode == 0

    def _start(self, machine: VirtualMachine, *argv: str, environ: dict[str, str] | None = None) -> None:
        with (self.folder / f"log/{machine.name}.{argv[0]}.out").open("ab") as log:
            self._daemons.append(machine.start(*argv, log=log, environ=environ))

    def wait_until_idle(self, node: str) -> None:
        """Wait until a node has no job and takes new ones."""
        try:
            wait_for(f"node {node} to be idle", lambda: self.node_state(node) == "idle", 15)
        except AssertionError as error:
            raise AssertionError(
                f"{error}; it is {self.node_state(node)}\n{self.log_tail()}\n{self.log_tail(node)}"
            ) from None

    def heal(self) -> None:
        """Make it as it was at the start: no jobs, no processes of jobs, no faults."""
        if not self._controller.processes("slurmctld -D"):
            self.start_controller()
        for job in self.jobs():
            if job.state in ("PENDING", "RUNNING", "SUSPENDED", "COMPLETING"):
                self.client("scancel", "--full", str(job.id))
        for name, node in self.nodes.items():
            if not node.on:
                node.switch_on()
            for folder in sorted(self._hidden[name]):
                self.show(name, folder)
            if name in self._skewed:
                self.kill_slurmd(name)
            if not node.processes("slurmd -D"):
                self.start_slurmd(name)
            if re.search("down|drain|fail|unk", self.node_state(name)):
                self.client("scontrol", "update", f"nodename={name}", "state=resume")
        wait_for("the end of all jobs", lambda: not self.allocations(), 30)
        for name, node in self.nodes.items():
            for pid in self.leftovers(name):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.wait_until_idle(name)
            assert node.on
        self._daemons = [process for process in self._daemons if process.poll() is None]

    def log_tail(self, name: str = "ctl") -> str:
        """The last lines of a daemon's log: `ctl` or a node."""
        with contextlib.suppress(OSError):
            return "\n".join((self.folder / f"log/{name}").read_text(errors="replace").splitlines()[-15:])
        return ""

    def stop(self) -> None:
        """End every process and remove every file and mount."""
        for machine in (*self.nodes.values(), self._controller):
            machine.switch_off()
        for process in self._daemons:
            process.wait(timeout=10)
        _remove(self.folder)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def need_slurm(*, accounting: bool = False) -> None:
    """Raise AssertionError when something is missing, with the command that installs it."""
    wanted = [name for name in _PACKAGES if accounting or name not in ("slurmdbd", "mariadbd")]
    missing = sorted({_PACKAGES[name] for name in wanted if shutil.which(name) is None})
    if missing:
        raise AssertionError(
            f"these tests need a real Slurm, and it is not installed: apt-get install {' '.join(missing)}"
            " (`.ci/run slurm` does that)"
        )
    if commands := need_for_machines():
        raise AssertionError(f"{', '.join(commands)} not found: apt-get install util-linux mount")
    if os.geteuid() != 0:
        raise AssertionError(
            "this is not root: a Slurm cluster of its own needs name spaces, mounts and devices"
        )


def sweep_clusters() -> None:
    """Remove what clusters of killed processes left: their processes are dead, their folders and mounts are not."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_FOLDERS}*/"):
        with contextlib.suppress(OSError, ValueError):
            pid, ticks, boot_id = (folder / "owner").read_text().split()
            if not Owner(pid=int(pid), start_ticks=int(ticks), boot_id=boot_id).alive:
                _remove(folder)


def _remove(folder: Path) -> None:
    unmount(folder)
    shutil.rmtree(folder, ignore_errors=True)


def main(arguments: Sequence[str]) -> int:
    """Start a cluster for somebody who works by hand."""
    parser = argparse.ArgumentParser(prog="python -m support.slurm_cluster", description=__doc__)
    parser.add_argument("--accounting", action="store_true", help="with slurmdbd and MariaDB, for sacct")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    started = time.monotonic()
    try:
        with Cluster(accounting=options.accounting) as cluster, contextlib.suppress(KeyboardInterrupt):
            sys.stdout.write(
                f"# started in {time.monotonic() - started:.1f} s; Ctrl-C or the end of standard input ends it\n"
                f"export SLURM_CONF={cluster.conf}\n"
            )
            sys.stdout.flush()
            sys.stdin.read()
    except AssertionError as error:
        sys.stderr.write(f"{error}\n")
        return 4
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
