"""Builds every part of the host and takes them down again in order. It holds no logic of its own."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from importlib import import_module
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from microclaw.agent.models.operations import UsageService
from microclaw.agent.tasks.device_code import DeviceCode
from microclaw.agent.tasks.service import PRUNE_S
from microclaw.agent.turn.background.unattended import AgentTasks
from microclaw.agent.turn.conversation import Conversations
from microclaw.agent.turn.look_tool import look_tool
from microclaw.app.agent import RETRY_S, Agent, build_inbox, build_model, build_tasks, outward_tools
from microclaw.app.channels import open_channels
from microclaw.app.devices import (
    Base,
    news_of_changes,
    notes_to_chats,
    open_authority,
    open_devices,
    open_link_server,
    open_rollouts,
    open_telemetry,
)
from microclaw.app.people_plane import ingress_socket, open_people_plane, people_socket
from microclaw.app.voice import HostVoice, VoiceMaker
from microclaw.clock import now_ms
from microclaw.devices.flash.operations import InstallParts
from microclaw.devices.ota.operations import FirmwareService
from microclaw.devices.telemetry.history import FLUSH_S, STEP_S
from microclaw.devices.virtual_boards.host_boards import VirtualBoards
from microclaw.errors import ConfigError, StoreMissing
from microclaw.host.audit.log import AuditLog
from microclaw.host.auth.admission import open_admission
from microclaw.host.auth.approvals import approval_event
from microclaw.host.auth.authority import AUTHORITY_FILE
from microclaw.host.auth.operations import PeopleService
from microclaw.host.auth.questions import Questions
from microclaw.host.backup.scheduled import CHECK_S, ScheduledBackups
from microclaw.host.config.settings import Settings
from microclaw.host.config.show import secret_texts
from microclaw.host.egress.allowlist import FILE_NAME, allowlist_problem
from microclaw.host.egress.destinations import Egress
from microclaw.host.egress.masking import SecretMask
from microclaw.host.egress.proxy import EgressProxy
from microclaw.host.egress.secret_values import SecretValues
from microclaw.host.store.crashes import CrashTable
from microclaw.host.store.database import Database
from microclaw.host.store.session_files import move_files
from microclaw.interfaces.api.asgi_apps import api_app, control_socket_app, host_api
from microclaw.interfaces.api.chat_routes import ChatService
from microclaw.interfaces.api.event_routes import EventService, LiveFeed
from microclaw.interfaces.api.host import HostInfo
from microclaw.interfaces.api.host_routes import HealthService, read_metrics
from microclaw.interfaces.api.ingress import SUPERVISOR, AnyHost, ingress_app
from microclaw.interfaces.api.job_routes import JobService
from microclaw.interfaces.api.jobs import Jobs
from microclaw.interfaces.api.live_pins import LivePins
from microclaw.interfaces.api.loop_watch import LoopWatch
from microclaw.interfaces.api.openai import OpenAiService
from microclaw.interfaces.api.operation_routes import RouteParts
from microclaw.interfaces.api.pending_requests import WaitingRequests
from microclaw.interfaces.api.server import AppListener, serving, unix_listener
from microclaw.interfaces.api.status import StatusReader, costs_and_plans
from microclaw.interfaces.api.tool_routes import ToolService
from microclaw.interfaces.mcp.server.service import McpService
from microclaw.programs.changes.change_log import ChangeLog
from microclaw.programs.changes.crash_operations import CrashService
from microclaw.programs.changes.device_operations import DeviceService
from microclaw.programs.changes.program_operations import BuildContext
from microclaw.programs.changes.queues import CompileQueue, trial_turns
from microclaw.programs.changes.reconciler import INTERVAL_S
from microclaw.programs.changes.services import AppServices
from microclaw.programs.wasm.libraries import build_glue
from microclaw.programs.wasm.toolchain import find_toolchain
from microclaw.supervision import FIRST_RETRY_S, SupervisedTasks

if TYPE_CHECKING:
    from microclaw.app.cluster import HostCluster

_log = logging.getLogger(__name__)


@asynccontextmanager
async def running_host(
    settings: Settings,
    *,
    virtual_boards: int = 0,
    egress: Egress | None = None,
    new_store: bool = False,
    make_voice: VoiceMaker | None = None,
    mask: SecretMask | None = None,
    ingress_from: str = SUPERVISOR,
    when_unused: Callable[[], object] | None = None,
) -> AsyncIterator[HostInfo]:
    """Inside, the host answers on its control socket. Leaving it ends every part in order and loses nothing.

    `egress` replaces the rule that only public addresses are fetched, for tests with servers of their own.
    `make_voice` makes what voice works with; without it nobody is heard. `mask` is that of the log, which the host
    tells the secrets that it reads later. `ingress_from` replaces the Supervisor's address, for tests. `when_unused` is
    called once no `microclaw mcp` has used it for a while.

    Raises StoreError when another host owns this home, StoreMissing unless `new_store` is what a person wants there,
    ConfigError when a port is taken.
    """
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        loop_watch = LoopWatch()
        stack.enter_context(loop_watch.watching())
        database, cluster = await _open_store(settings, stack, new_store=new_store)
        model, usage = build_model(settings, database)
        control = stack.enter_context(unix_listener(settings.control_socket))
        api_socket = people_socket(settings, stack)
        ingress = ingress_socket(settings, stack)
        mask = mask or SecretMask(await asyncio.to_thread(secret_texts, settings))
        audit = await enter(AuditLog.open(settings.home, mask=mask.masked))
        egress = egress or Egress()
        secret_values = SecretValues(settings.home, os.environ, mask=mask)
        await asyncio.to_thread(secret_values.names)
        proxy = EgressProxy(settings.home, egress, secret_values, record=audit.record)
        admission = await open_admission(settings, database, audit.record)
        live = LiveFeed(secrets.token_hex(4), origin="" if cluster is None else cluster.origin)
        if cluster is not None:
            await cluster.share(live, stack)
        admission.approvals.listen(lambda news: live.put(approval_event(news, admission.people, now_ms())))
        base = Base(settings, database, admission, live.put, audit, cluster)
        devices = await open_devices(base, stack)
        registry = devices.registry
        group = await enter(asyncio.TaskGroup())
        tasks = SupervisedTasks(group, now_ms=now_ms)
        if cluster is not None:
            cluster.follow(registry, devices.links, tasks)
        publisher, rollouts = await open_rollouts(base, devices)
        authority = await open_authority(base, tasks)
        link = await open_link_server(base, devices, authority, stack, group)
        if api_socket is None:
            plane = None
        else:
            plane = await open_people_plane(base, api_socket, authority, tasks)
        change_log = ChangeLog(database, fleet=base.fleet)
        change_log.report_to(news_of_changes(base, registry))
        inbox = build_inbox(base)
        looks_after = base.looks_after(registry)
        tell = notes_to_chats(inbox.outbox, live.put)
        apps = AppServices(
            settings, registry, change_log, admission.gate, publish=live.put, tell=tell, looks_after=looks_after
        )
        history, reported = open_telemetry(base, devices, apps.source_log)
        code = build_tasks(base, proxy)
        await enter(code.serving())
        servers: Any = SimpleNamespace(tools=tuple, states=dict)
        if settings.mcp_servers:
            module = await asyncio.to_thread(
                import_module, "microclaw.interfaces.mcp.client.connection"
            )  # with the library
            servers = await enter(module.mcp_servers(settings.mcp_servers, proxy=settings.proxy))
        voice = HostVoice(base, devices, link)
        services: dict[str, Any] = {}  # of the acts and the other routes, by noun
        own_tools = (
            *outward_tools(base, apps, inbox.outbox, egress, code, history),
            look_tool(services, admission.gate),
        )
        agent = Agent(base, model, apps, inbox, link, tasks, own_tools, lambda: (*servers.tools(), *voice.tools()))
        await agent.knowledge.memory.texts.refresh()
        conversations = agent.conversations
        await enter(conversations.answering())
        device_tasks = devices.links.parts.tasks
        runner = AgentTasks(inbox, admission.gate)
        coded = DeviceCode(code, registry, settings.tasks.from_devices)
        await enter(device_tasks.serving(runner, devices.links.link, code=coded))
        channels = await open_channels(base, inbox, tasks, code.read_result, stack)
        await voice.open(inbox, group, stack, make_voice)
        mqtt: Callable[[], Mapping[str, Any]] = _without_broker
        if settings.mqtt.url is not None:
            from microclaw.interfaces.mqtt.setup import MqttServices, open_mqtt  # only who has a broker needs it

            mqtt_services = MqttServices(
                settings=settings,
                database=database,
                admission=admission,
                record=audit.record,
                registry=registry,
                links=devices.links,
                apps=apps,
                offers=rollouts.offers,
                tools=agent.tools,
                listen=live.listen,
                duty=base.duty,
            )
            mqtt = await open_mqtt(mqtt_services, tasks, stack)
        jobs = Jobs(group, settings.limits)
        waiting = WaitingRequests()
        questions = Questions(admission.approvals, admission.people)
        job_service = JobService(jobs, waiting)
        if cluster is not None and authority is not None:
            hosts = cluster.hosts
            job_service = JobService(jobs, waiting, cluster.requests, lambda: [one.facts.name for one in hosts.ended()])
            questions = await cluster.join(authority, admission, inbox, stack)
        backups = ScheduledBackups(settings.home, settings.backup, record=audit.record, now_ms=now_ms)
        board_ids = settings.home / "virtual-boards.json"
        if cluster is None:
            prefix = ""
        else:
            prefix = f"{cluster.name[:20].rstrip('-')}-"
        host = HostInfo(
            settings=settings,
            admission=admission,
            plane=plane,
            ingress=None if ingress is None else int(ingress.getsockname()[1]),
            link=link,
            devices=registry,
            boards=VirtualBoards(registry, apps.reconciler.check, ids=board_ids, prefix=prefix),
            apps=apps,
            conversations=conversations,
            voice=voice.state,
            channels=channels,
            more_problems=lambda: [
                audit.problem,
                allowlist_problem(settings.home / FILE_NAME),
                None if authority is None else authority.problem,
            ],
        )
        plans = partial(
            costs_and_plans,
            usage=usage,
            budget=settings.budget,
            mcp=servers.states,
            backups=backups,
            tasks=code,
            rollouts=rollouts,
            book=agent.schedules.book,
            admission=admission,
        )
        workshop = BuildContext(apps, CompileQueue(apps.compile), trial_turns())
        limits = settings.limits
        view = None if cluster is None else cluster.view
        tool_service = ToolService(conversations, admission, registry, jobs, limits.keepalive_s)
        device_service = DeviceService(registry=registry, gate=admission.gate, link=link, apps=apps, last=history.last)
        mcp = McpService(tool_service, device_service, control_socket=settings.control_socket, when_unused=when_unused)
        services |= {
            **agent.services,
            "page": None,
            "document": None,
            "health": HealthService(database, tasks),
            "signin": admission.sign_ins,
            "metrics": partial(
                read_metrics,
                host=host,
                live=live,
                history=history,
                code=code,
                mqtt=mqtt,
                cluster=view,
                loop_watch=loop_watch,
            ),
            "host": StatusReader(host, tasks, audit, database, history, mqtt, plans),
            "crash": CrashService(registry, CrashTable(database)),
            "device": device_service,
            "fleet": apps,
            "telemetry": history,
            "cluster": view,
            "firmware": FirmwareService(publisher, rollouts, admission.gate.name_of),
            "install": InstallParts(settings, link, publisher.moduli),
            "task": code,
            "voice": voice.state,
            "person": PeopleService(admission, inbox.outbox.push),
            "approval": questions,
            "usage": UsageService(usage, admission.people.get),
            "program": workshop,
            "backup": backups,
            "caller": admission,
            "chat": ChatService(inbox, agent.knowledge.sessions, registry, limits.keepalive_s),
            "compile": workshop.compiling,
            "event": EventService(live, admission.people, LivePins(group, registry), limits.keepalive_s),
            "job": job_service,
            "openai": OpenAiService(conversations, jobs, limits.keepalive_s),
            "tool": tool_service,
            "mcp": mcp,
        }
        api = host_api(RouteParts(services, admission, registry, jobs, waiting))
        people_app = partial(api_app, api, admission, limits)
        listeners = [AppListener("control", control_socket_app(api, limits), control)]
        if plane is not None:
            app = people_app(plane.allowed_hosts, on_network=plane.on_network)
            listeners.append(AppListener("api", app, plane.socket, tls=plane.tls))
        if ingress is not None:
            app = ingress_app(people_app(AnyHost(), on_network=True), ingress_from)
            listeners.append(AppListener("ingress", app, ingress))
        await enter(serving(listeners, group))
        stack.callback(live.end)  # after the listeners: its readers end before those do
        if link is not None:
            link.start()
        if cluster is not None:
            cluster.addresses.update({"api": host.http, "link": None if link is None else link.address})
        await enter(host.boards.running(virtual_boards))
        await enter(mcp.serving())
        recovered = asyncio.Event()
        stack.push_async_callback(history.flush)  # what waits when the tasks have ended
        stack.push_async_callback(tasks.stop)
        tasks.start("close what the last run left open", partial(_recover, conversations, recovered))
        tasks.start("reconciler", apps.reconciler.check_due, every_s=INTERVAL_S, after=recovered)
        tasks.start("rollouts", base.duty("rollouts", rollouts.run))
        if cluster is not None:
            left_work: dict[str, Callable[[], Awaitable[object]]] = {
                "tasks of devices": device_tasks.recover_tasks,
                "code": code.take_up,
                "turns": conversations.recover,
                "schedules": agent.schedules.runner.recover_runs,
            }
            cluster.start_work(tasks, left_work, after=recovered)
        tasks.start("warm up the model", model.warm_up)
        tasks.start("build the C library", lambda: build_glue(find_toolchain(), settings.cache))
        tasks.start("index what is remembered", agent.knowledge.search.refresh)
        tasks.start("old results of code", code.prune, every_s=PRUNE_S)
        tasks.start("keep telemetry", history.flush, every_s=FLUSH_S)
        tasks.start("make telemetry smaller", history.downsample, every_s=STEP_S)
        tasks.start("collect crashes and readings", reported.follow)
        if settings.backup is not None:
            tasks.start("backup", backups.run_due, every_s=CHECK_S, after=recovered)
        stack.push_async_callback(jobs.drain)  # on the way out: jobs that have started may end
        stack.callback(admission.approvals.close)  # chats have let go of theirs: a request's would hold up the end
        stack.push_async_callback(conversations.drain)  # before the listeners: the chats' streams end with it
        await enter(agent.subagents.working())
        for name, work in agent.background.items():
            tasks.start(name, work, first_retry_s=RETRY_S.get(name, FIRST_RETRY_S))
        stack.push_async_callback(tasks.stop, *agent.background)
        yield host


async def _open_store(
    settings: Settings, stack: AsyncExitStack, *, new_store: bool
) -> tuple[Database, HostCluster | None]:
    """The host's own, or the one that it shares with other hosts, and what comes with that."""
    url = settings.cluster.database
    if url is not None:
        from microclaw.app.cluster import open_cluster  # with other hosts alone

        cluster = await open_cluster(settings, url, stack)
        return cluster.database, cluster
    await asyncio.to_thread(_check_store, settings, new_store=new_store)
    database = await stack.enter_async_context(Database.open(settings.database))
    await move_files(settings.sessions, database)
    return database, None


def _check_store(settings: Settings, *, new_store: bool) -> None:
    """An empty store knows none of the devices that trust this host's authority: nobody wants that by accident."""
    store = settings.database
    authority = settings.identity / AUTHORITY_FILE
    if new_store and store.exists():
        raise ConfigError(f"there is a store already: {store}", next_step="leave --new-store out")
    if not new_store and authority.exists() and not store.exists():
        raise StoreMissing(
            f"the store {store} is missing, and paired devices trust the authority in {authority}",
            next_step="microclaw backup restore FILE --replace; or begin with an empty one, and pair every device "
            "again: microclaw up --new-store",
        )


async def _recover(conversations: Conversations, recovered: asyncio.Event) -> None:
    """Close what a crash left open; the reconciler does so for each device, before it redeploys a program there."""
    for sentence in await conversations.recover():
        _log.warning("left open by the last run: %s", sentence)
    recovered.set()


def _without_broker() -> Mapping[str, Any]:
    return {"state": "off", "text": None, "next": "microclaw config set mqtt.url mqtt://HOST:1883"}
