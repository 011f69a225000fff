"""Runs that a crash of the machine, or a kill, left behind as if they still ran. Dagster notices a
worker that dies as long as its own processes live; a run that they all left holds its places in the
queue and in the pools for good, and nothing else is ever started."""

import time
from collections.abc import Iterator

import dagster as dg
import psutil

STARTING = 180.0  # seconds that a run may take to get a process
AT_WORK = [
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def end_lost_runs(instance: dg.DagsterInstance) -> list[str]:
    """Mark the runs of this machine whose process is gone as failed (or cancelled, where that was
    asked for) and take their places in the pools back, so that others can start. Returns their
    ids."""
    lost = [
        record.dagster_run
        for record in instance.get_run_records(dg.RunsFilter(statuses=AT_WORK))
        if is_lost(instance, record)
    ]
    for run in lost:
        if run.status == dg.DagsterRunStatus.CANCELING:
            instance.report_run_canceled(run, "Its process is gone.")
        else:
            instance.report_run_failed(run, "Its process is gone: killed, or the machine stopped.")
    _free_pools(instance)
    return [run.run_id for run in lost]


def _free_pools(instance: dg.DagsterInstance) -> None:
    """Take back the places in pools of runs that have ended."""
    pools = instance.event_log_storage
    if pools.supports_global_concurrency_limits:
        for run_id in pools.get_concurrency_run_ids():
            run = instance.get_run_by_id(run_id)
            if run is None or run.is_finished:
                pools.free_concurrency_slots_for_run(run_id)


def is_lost(instance: dg.DagsterInstance, record: dg.RunRecord) -> bool:
    """Whether no process is at work on a run."""
    processes = list(_processes(instance, record.dagster_run.run_id))
    if not processes:
        return time.time() - record.update_timestamp.timestamp() > STARTING
    return not any(_lives(pid, since) for pid, since in processes)


def _processes(instance: dg.DagsterInstance, run_id: str) -> Iterator[tuple[int, float]]:
    """Ids of the processes that said they work on a run, and when they did (Unix time)."""
    for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT):
        event = entry.get_dagster_event()
        pid = event.engine_event_data.metadata.get("pid")
        if pid is not None:
            yield int(str(pid.value)), entry.timestamp


def _lives(pid: int, since: float) -> bool:
    try:
        process = psutil.Process(pid)
        dead = process.status() == psutil.STATUS_ZOMBIE
        return not dead and process.create_time() <= since + 1  # not another that got its number
    except psutil.NoSuchProcess:
        return False
