"""The configuration files of a test cluster."""

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["ACCOUNT", "CLUSTER", "GPU_TYPE", "QOS", "Configuration"]

CLUSTER: Final = "amdci-virtual"
GPU_TYPE: Final = "mi300x"
ACCOUNT: Final = "amd"
QOS: Final = "long"

# Seconds for which a job's credential holds, for the controller: a job is requeued that long after its node is lost.
# Nodes get a longer one, or a node whose clock is wrong would take no job.
_CREDENTIAL_S: Final = 5
_CREDENTIAL_ON_NODES_S: Final = 86400

_SLURM: Final = """\
ClusterName={cluster}
SlurmctldHost=ctl(127.0.0.1)
SlurmctldPort={controller_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={munge_socket},cred_expire={credential_s}
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/ctl.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/log/ctl
SlurmdLogFile={folder}/log/%n
DebugFlags=NO_CONF_HASH
MailProg=/bin/true
TaskProlog={folder}/task_prolog
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=sched_min_interval=100000,bf_interval=1,batch_sched_delay=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
ReturnToService=1
SlurmdParameters=config_overrides
SlurmdTimeout={slurmd_timeout_s}
KillWait=2
MessageTimeout=3
TCPTimeout=1
BatchStartTimeout=5
MinJobAge={min_job_age_s}
GresTypes=gpu
{accounting}
{nodes}
PartitionName=ci Nodes=ALL Default=YES MaxTime=600 PriorityTier=1 State=UP
PartitionName=hi Nodes=ALL MaxTime=600 PriorityTier=10 State=UP
PartitionName=short Nodes=ALL MaxTime=1 PriorityTier=1 State=UP
"""
_NODE: Final = (
    "NodeName={name} NodeHostname={name} NodeAddr=127.0.0.1 Port={port} CPUs=8 RealMemory=4000"
    f" Gres=gpu:{GPU_TYPE}:8 State=UNKNOWN"
)
_WITHOUT_ACCOUNTING: Final = """\
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none"""
_WITH_ACCOUNTING: Final = """\
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={accounting_port}
AccountingStoragePass={munge_socket}
AccountingStorageEnforce=associations,qos,limits
AccountingStorageTRES=gres/gpu
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1"""
_SLURMDBD: Final = """\
AuthType=auth/munge
AuthInfo=socket={munge_socket}
DbdHost=ctl
DbdAddr=127.0.0.1
DbdPort={accounting_port}
SlurmUser=root
LogFile={folder}/log/dbd
PidFile={folder}/dbd.pid
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
StorageLoc=slurm
"""
# a job's environment comes from who submits it: the clock of the node has to be set in each of its processes
_TASK_PROLOG: Final = """\
#!/bin/sh
cat "{folder}/clock.$SLURMD_NODENAME" 2>/dev/null
exit 0
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """Where a cluster's files and ports are; `nodes` are names and ports."""

    folder: Path
    nodes: dict[str, int]
    controller_port: int
    accounting_port: int | None
    min_job_age_s: int
    slurmd_timeout_s: int

    @property
    def clients(self) -> Path:
        """slurm.conf of the controller and of clients."""
        return self.folder / "etc/slurm.conf"

    @property
    def of_nodes(self) -> Path:
        """slurm.conf of the nodes."""
        return self.folder / "etc.nodes/slurm.conf"

    @property
    def munge_socket(self) -> Path:
        return self.folder / "munge.sock"

    @property
    def munge_key(self) -> Path:
        return self.folder / "munge.key"

    def write(self) -> None:
        """Write all files."""
        self.munge_key.touch(mode=0o600)
        self.munge_key.write_bytes(secrets.token_bytes(128))
        for path, credential_s in ((self.clients, _CREDENTIAL_S), (self.of_nodes, _CREDENTIAL_ON_NODES_S)):
            path.parent.mkdir()
            path.write_text(self._slurm(credential_s))
            (path.parent / "cgroup.conf").write_text("CgroupAutomount=no\nConstrainCores=no\n")
            # Slurm refuses plain files as devices
            (path.parent / "gres.conf").write_text(
                f"Name=gpu Type={GPU_TYPE} File={self.folder}/dev/gpu[0-7]\n"
            )
        prolog = self.folder / "task_prolog"
        prolog.write_text(_TASK_PROLOG.format(folder=self.folder))
        prolog.chmod(0o755)
        if self.accounting_port is not None:
            file = self.clients.parent / "slurmdbd.conf"
            file.touch(mode=0o600)
            file.write_text(
                _SLURMDBD.format(
                    folder=self.folder, munge_socket=self.munge_socket, accounting_port=self.accounting_port
                )
            )

    def _slurm(self, credential_s: int) -> str:
        accounting = _WITHOUT_ACCOUNTING if self.accounting_port is None else _WITH_ACCOUNTING
        return _SLURM.format(
            cluster=CLUSTER,
            folder=self.folder,
            controller_port=self.controller_port,
            munge_socket=self.munge_socket,
            credential_s=credential_s,
            slurmd_timeout_s=self.slurmd_timeout_s,
            min_job_age_s=self.min_job_age_s,
            accounting=accounting.format(
                accounting_port=self.accounting_port, munge_socket=self.munge_socket
            ),
            nodes="\n".join(_NODE.format(name=name, port=port) for name, port in self.nodes.items()),
        )
