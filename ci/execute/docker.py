"""The docker executor: a container for one run, from the image to its removal, phase by phase (docs/container.md).

The phases run in a thread of their own, so that a signal's handler can stop them whatever they wait for: `stop` sets a
flag that each of them looks at and ends the agent's standard input.
"""

import queue
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Self

from ci.catalog.verdicts import Verdict
from ci.docker.client import Client, EngineError, connect
from ci.docker.container import LOOK_S, REMOVE_S, Container, StoppedError, adopt, create
from ci.docker.create_args import create_arguments, key_of, parts_of
from ci.docker.labels import labels_of
from ci.docker.sweep import find_kept, list_containers, sweep_containers
from ci.errors import CiError, ExitCode, InfrastructureError, writing
from ci.execute.agent_file import AGENT_NAME, agent_file
from ci.execute.agent_stream import AgentStream, overall_s
from ci.execute.container_agent import ContainerAgent
from ci.execute.container_setup import (
    copy_checkout,
    give_back,
    look_at_engine,
    run_preflight,
    working_root,
)
from ci.execute.executor import Executor, RunInputs, failed_event
from ci.execute.process_sweep import Found, sweep
from ci.execute.spec import Spec, agent_environ, write_spec
from ci.facts.gather import REPOSITORY
from ci.health.snapshot import Health, this_machine
from ci.images.pull import pull_image
from ci.install.install import Installation
from ci.plan.container.image_fact import planned_image
from ci.plan.container.needs import BIN_DIR, CHECKOUT_COPY, ROOT_DIR, RUN_DIR, RUNS_DIR
from ci.record.events import Event, ExecutorFailed, Note
from ci.record.phases import Phases
from ci.system import clock
from ci.system.file_lock import FileLock

__all__ = ["DockerExecutor", "open_executor"]

# from our stop until the executor must be through with its cleanup: GitHub Actions kills 10 s after SIGINT
_JOIN_S = 6.8
# the agent's sweep after its tests were given their time to end; the container is killed with all that is in it then
_SWEEP_S = 0.5


def open_executor(run: RunInputs) -> Executor:
    """The executor of a run in a container."""
    return DockerExecutor(run)


class DockerExecutor:
    """One container for one run. Use as a context manager: whatever happens inside, nothing is left afterwards."""

    def __init__(self, run: RunInputs) -> None:
        self._plan = run.plan
        self._work, self._place, self._image = parts_of(run.plan)
        self._folder = run.folder
        self._catalog = run.catalog
        self._limits = run.catalog.limits
        self._token = run.token
        self._environ = run.environ
        self._spec: Spec | None = None
        self._events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._own = run.folder.own.relative_to(run.folder.path)
        self._phases = Phases(self._events.put, run.folder.own_logs, str(self._own / "logs"))
        self._stop = threading.Event()
        self._stop_at: float | None = None
        self._stream: AgentStream | None = None
        self._client: Client | None = None
        self._container: Container | None = None
        self._kept = FileLock()
        self._broken: BaseException | None = None
        self._worker = threading.Thread(target=self._run, name="docker-executor", daemon=True)
        self.swept: tuple[Found, ...] = ()

    # ---- what a run calls

    def start(self, spec: Spec) -> None:
        """Take the spec and begin.

        Raises:
            InfrastructureError: the run folder cannot be written.
        """
        self._spec = spec
        self._worker.start()

    @property
    def stop_s(self) -> float:
        return _JOIN_S

    def stop(self, *, at_once: bool = False) -> None:
        """End the tests and whatever phase is under way; safe in a signal handler, and when called again."""
        if self._stop_at is None:
            self._stop_at = clock.monotonic_s() + _JOIN_S
        self._stop.set()
        if self._stream is not None:
            self._stream.stop(at_once=at_once)

    @property
    def goes_on(self) -> bool:
        """Nothing goes on without us."""
        return False

    def detach(self) -> str:
        """Nothing can go on without us."""
        return ""

    def events(self) -> Iterator[Event]:
        """Phases and the agent's events to the end of the cleanup."""
        while True:
            try:
                event = self._events.get(timeout=LOOK_S)
            except queue.Empty:
                if self._stop_at is not None and clock.monotonic_s() > self._stop_at:
                    yield self._overdue()
                    return
                continue
            if event is None:
                break
            yield event
        if self._broken is not None:
            raise self._broken

    def close(self) -> None:
        """End everything that was started."""
        self.stop()
        if self._worker.is_alive():
            left_s = (self._stop_at or 0) - clock.monotonic_s()
            self._worker.join(max(left_s, REMOVE_S))
        self._kept.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- the phases

    def _run(self) -> None:
        """The thread: phases, then the cleanup; every failure is an event, a bug is raised by `events`."""
        try:
            try:
                self._work_through()
            except CiError as error:
                self._events.put(self._failed(error))
            except EngineError as error:
                self._events.put(self._failed(self._engine_failed(error)))
            finally:
                self._clear_away()
                if self._client is not None:
                    self._client.close()
        except BaseException as error:  # noqa: BLE001 - handed to the thread that reports
            self._broken = error
        finally:
            self._events.put(None)

    def _work_through(self) -> None:
        phases = self._phases
        client = connect(self._place.docker)
        self._client = client
        with phases.phase("sweep", "containers of killed runs") as phase:
            swept = sweep_containers(client)
            phase.details += [
                f"{one.tenant.name} of run {one.tenant.ownership.run}: {one.problem or 'removed'}"
                for one in swept
            ]
            phase.text = f"{len(swept)} removed" if swept else "nothing to remove"
        self._go_on()
        health = Health(
            machine=this_machine(self._limits.health.tool_s),
            nodes=[path for path in self._place.devices if path.rpartition("/")[2].startswith("renderD")],
            rows=self._catalog.health,
            limits=self._limits.health,
            run=self._folder.name,
            token=self._token,
            leaks=Path(self._plan.placement.runs_dir) / ".live" / "leaks.json",
            tenants=lambda: list_containers(client),
            exclusive=self._place.exclusive_host,
            stopped=self._stop.is_set,
        )
        with phases.phase("health-before", "checking VRAM and health of the GPUs") as phase:
            health.before(phase)
        self._go_on()
        with phases.phase("pull", self._place.image_pinned) as phase:
            pulled = pull_image(
                planned_image(
                    self._catalog.images,
                    self._place,
                    config_digest=self._image,
                    flavour=self._work.flavour,
                ),
                catalog=self._catalog,
                engine_host=self._place.docker,
                mirror=self._place.mirror,
                environ=self._environ,
                emit=phases.emit,
                stopped=self._stop.is_set,
                who=self._folder.name,
            )
            phase.text = f"{pulled.local_id[:19]} from the {pulled.hop} store"
            phase.details += [f"{hop.name}: {hop.what}" for hop in pulled.hops]
        self._go_on()
        with phases.phase("create", f"profile {self._work.profile}") as phase:
            container, phase.text = self._make(client, pulled.local_id)
            self._container = container
            container.put(BIN_DIR, {AGENT_NAME: agent_file().data})
        self._go_on()
        with phases.phase("copy", "checkout") as phase:
            copy_checkout(container, self._plan, phase)
        self._go_on()
        Installation(
            shell=container,
            python=self._plan.placement.python,
            rows=self._catalog.dependencies,
            install=self._work.install,
            guards=self._work.guards,
            image=self._image,
            environ=self._environ,
            limits=self._limits.deps,
            phases=phases,
            stopped=self._stop.is_set,
        ).run()
        self._go_on()
        engine_version = look_at_engine(container, self._plan, self._catalog)
        phases.emit(Note(text=engine_version))
        for row in self._work.preflights:
            self._go_on()
            with phases.phase("preflight", row.id) as phase:
                run_preflight(container, row, cwd=working_root(self._plan), phase=phase)
        self._go_on()
        try:
            self._test(container)
        finally:
            # a stop has no seconds left for it
            if not self._stop.is_set():
                with phases.phase("health-after", "checking the GPUs for leaks") as phase:
                    health.after(phase)

    def _make(self, client: Client, image: str) -> tuple[Container, str]:
        """The container of this run: a kept one that was made for the same, or a new one; and how it came about."""
        paused_s, python = self._limits.container.paused_s, self._plan.placement.python
        keep, root = self._place.keep, str(REPOSITORY)
        key = key_of(self._plan, root=root) if keep else ""
        note = ""
        if keep and not self._kept.take(Path(self._plan.placement.runs_dir) / ".live" / f"kept-{key}.lock"):
            keep, note = False, "; not kept: another run is in the kept container"
        found = find_kept(client, key) if keep else None
        if found is not None:
            container = adopt(
                client, found.id, name=found.name, python=python, paused_s=paused_s, stopped=self._stop.is_set
            )
            return container, f"{found.name}, kept by run {found.ownership.run}"
        name = f"amd-ci-{self._folder.name}-{self._token[-8:]}"
        ttl_s = int(
            self._limits.container.keep_s
            if keep
            else overall_s(self._plan) + self._limits.container.ttl_margin_s
        )
        labels = labels_of(
            run=self._folder.name, token=self._token, plan=self._plan.digest, kept=keep, key=key, ttl_s=ttl_s
        )
        arguments = create_arguments(
            self._plan, image=image, name=name, labels=labels,
            run_dir=str(self._folder.path), root=root, ttl_s=ttl_s, kept=keep,
        )  # fmt: skip
        container = create(
            client, arguments, name=name, python=python, paused_s=paused_s, stopped=self._stop.is_set
        )
        return container, f"{name}{note}"

    def _test(self, container: Container) -> None:
        """The agent's events; its spec names paths inside."""
        run_dir, log_path = self._run_dir, self._folder.agent_log
        argv = [
            self._plan.placement.python,
            f"{BIN_DIR}/{AGENT_NAME}",
            f"{run_dir}/{self._own / 'spec.json'}",
        ]
        env = agent_environ(
            self._plan,
            self._environ,
            token=self._token,
            root=CHECKOUT_COPY if self._plan.work.checkout else "",
        )
        with self._phases.phase("tests", f"{self._plan.work.tests} tests") as phase:
            write_spec(self._folder.spec, self._inside(run_dir))
            with writing(log_path):
                log = log_path.open("wb")
            with log:
                command = container.start_exec(argv, env=env, cwd="/")
                self._stream = AgentStream(
                    ContainerAgent(container, command, token=self._token, log=log),
                    overall_s=overall_s(self._plan),
                    stop_s=self._plan.work.limits.agent.stop_s + _SWEEP_S,
                    log=log_path,
                )
                if self._stop.is_set():
                    self._stream.stop()
                for event in self._stream.events():
                    self._events.put(event)
            phase.log = str(self._own / "logs" / "agent.log")

    def _inside(self, run_dir: str) -> Spec:
        """The spec with the paths inside the container."""
        if self._spec is None:
            raise InfrastructureError("the executor was not started", then="report this")
        claims = self._spec.claims
        if claims.folder:
            below = Path(claims.folder).relative_to(self._folder.path)
            claims = replace(claims, folder=f"{run_dir}/{below}")
        return replace(
            self._spec,
            root=working_root(self._plan),
            run_dir=run_dir,
            claims=claims,
            pythonpath=(f"{ROOT_DIR}/test",),
        )

    def _clear_away(self) -> None:
        """Remove the container, or leave a kept one with nothing of this run in it."""
        container = self._container
        if container is None:
            return
        container.ending = True
        with self._phases.phase("stop", container.name) as phase:
            give_back(container, self._run_dir, self._folder.path, phase)
            if self._kept.taken:
                container.kill_token(self._token)
                container.let_go()
                phase.text = (
                    f"kept for the next run with --keep; ./inv container.stop {container.name} ends it"
                )
                return
            left = container.remove()
            phase.text = "removed"
            if left:
                # the engine does not answer: what of it runs on this host can still be found by the token
                self.swept = sweep(self._token, wait=clock.sleep_s)
                phase.warn(f"container {container.name} still exists: {left}; the next start removes it")

    # ---- helpers

    @property
    def _run_dir(self) -> str:
        """The run folder inside the container."""
        return f"{RUNS_DIR}/{self._folder.name}" if self._kept.taken else RUN_DIR

    def _go_on(self) -> None:
        if self._stop.is_set():
            raise StoppedError("stopped", exit_code=ExitCode.INTERRUPTED)

    def _engine_failed(self, error: EngineError) -> InfrastructureError:
        cause = "the engine does not answer" if error.gone else "the engine refused"
        return InfrastructureError(
            f"the Docker engine failed: {error.text}", cause=cause, then="docker info; journalctl -u docker"
        )

    def _failed(self, error: CiError) -> ExecutorFailed:
        return failed_event(error, stopped=self._stop.is_set() or isinstance(error, StoppedError))

    def _overdue(self) -> ExecutorFailed:
        name = self._container.name if self._container is not None else "none yet"
        return ExecutorFailed(
            what="the executor did not end in time after it was stopped",
            cause=f"the engine does not answer; its container: {name}",
            then="./inv container.prune",
            verdict=Verdict.CANCELLED,
        )
