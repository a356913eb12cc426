"""Builds every part of the host and takes them down again in order. It holds no logic of its own."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from microclaw.agent.attempts import latest_attempts
from microclaw.agent.background.unattended import AgentTasks
from microclaw.agent.conversation import Conversations
from microclaw.agent.erase import ConversationEraser
from microclaw.api.asgi_apps import api_app, control_socket_app, host_api
from microclaw.api.event_routes import LiveFeed
from microclaw.api.ingress import SUPERVISOR, AnyHost, Ingress
from microclaw.api.jobs import Jobs
from microclaw.api.live_pins import LivePins
from microclaw.api.operations import HostService
from microclaw.api.parts import HostParts
from microclaw.api.server import Listener, serving, unix_listener
from microclaw.api.status import read_status
from microclaw.api.tool_routes import ToolService
from microclaw.api.waiting import WaitingRequests
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
    warm_compiler,
)
from microclaw.app.mqtt import mqtt_serving
from microclaw.app.people_plane import ingress_socket, open_people_plane, people_socket
from microclaw.app.voice import HostVoice, VoiceMaker
from microclaw.apps.changes import ChangeLog
from microclaw.apps.crash_operations import CrashService
from microclaw.apps.device_operations import DeviceService
from microclaw.apps.operations import Programs
from microclaw.apps.parts import Apps
from microclaw.apps.program_operations import Workshop
from microclaw.apps.queues import CompileQueue, trial_turns
from microclaw.audit import AuditLog
from microclaw.auth.admission import open_admission
from microclaw.auth.approvals import approval_event
from microclaw.auth.authority import AUTHORITY_FILE
from microclaw.auth.operations import PeopleService
from microclaw.auth.questions import Questions
from microclaw.backup.scheduled import CHECK_S, ScheduledBackups
from microclaw.bus import Bus
from microclaw.clock import now_ms
from microclaw.config.settings import Settings
from microclaw.config.show import secret_texts
from microclaw.devices.call_text import CALLS
from microclaw.egress.destinations import Egress
from microclaw.egress.policy import AllowlistSource
from microclaw.egress.proxy import EgressProxy
from microclaw.egress.secret_values import SecretValues
from microclaw.errors import ConfigError, StoreMissing
from microclaw.events import LiveEvent
from microclaw.flash.operations import InstallParts
from microclaw.knowledge.operations import KnowledgeService
from microclaw.masking import SecretMask
from microclaw.mcp.client.servers import McpServers
from microclaw.mcp.server.service import McpService
from microclaw.models.operations import UsageService
from microclaw.ota.operations import FirmwareService
from microclaw.store.crashes import CrashTable
from microclaw.store.database import Database
from microclaw.store.erase import ConversationRows
from microclaw.store.journal import Journal
from microclaw.store.session_files import move_files
from microclaw.supervision import FIRST_RETRY_S, SupervisedTasks, ended
from microclaw.tasks.device_code import DeviceCode
from microclaw.tasks.operations import Tasks
from microclaw.tasks.service import PRUNE_S
from microclaw.telemetry.history import FLUSH_S, STEP_S
from microclaw.telemetry.operations import last_values
from microclaw.virtual_boards.host_boards import VirtualBoards

if TYPE_CHECKING:
    from microclaw.app.cluster import HostCluster

MQTT_OFF: Final = {"state": "off", "text": None}
_log = logging.getLogger(__name__)


@asynccontextmanager
async def running_host(
    settings: Settings,
    *,
    boards_ready: asyncio.Event | None = None,
    egress: Egress | None = None,
    new_store: bool = False,
    make_voice: VoiceMaker | None = None,
    mask: SecretMask | None = None,
    ingress_from: str = SUPERVISOR,
    when_unused: Callable[[], object] | None = None,
) -> AsyncIterator[HostParts]:
    """Inside, the host answers on its control socket. Leaving it ends every part in order and loses nothing.

    Turns that the last run left unfinished go on once `boards_ready` is set, where one is given.
    `egress` replaces the rule that only public addresses are fetched, for tests with servers of their own.
    `make_voice` makes what voice works with; without it nobody is heard. `mask` is that of the log, which the host
    tells the secrets that it reads later. `ingress_from` replaces the Supervisor's address, for tests. `when_unused` is
    called once no `microclaw mcp` has used it for a while.

    Raises StoreError when another host owns this home, StoreMissing unless `new_store` is what a person wants there,
    ConfigError when a port is taken.
    """
    async with AsyncExitStack() as stack:
        database, cluster = await _open_store(settings, stack, new_store=new_store)
        model, usage = build_model(settings, database)
        control = stack.enter_context(unix_listener(settings.control_socket))
        api_socket = people_socket(settings, stack)
        ingress = ingress_socket(settings, stack)
        mask = mask or SecretMask(await asyncio.to_thread(secret_texts, settings))
        audit = await stack.enter_async_context(AuditLog.opened(settings.home, mask=mask.masked))
        egress = egress or Egress()
        secret_values = SecretValues(settings.home, os.environ, mask=mask)
        await asyncio.to_thread(secret_values.tell_mask)
        proxy = EgressProxy(
            AllowlistSource(settings.home), egress, secret_values, record=audit.record, way=settings.proxy
        )
        admission = await open_admission(settings, database, audit.record)
        origin = "" if cluster is None else hashlib.sha256(urlsplit(cluster.database.url).path.encode()).hexdigest()[:8]
        live = LiveFeed(secrets.token_hex(4), origin=origin)
        bus = await stack.enter_async_context(Bus())
        publish: Callable[[LiveEvent], None] = live.put
        if cluster is not None:
            publish = await stack.enter_async_context(cluster.sharing(publish, partial(live.put, is_own=False)))
        admission.approvals.listen(lambda news: publish(approval_event(news, admission.people, now_ms())))
        index = database if cluster is None else await stack.enter_async_context(Database.open(settings.cluster_index))
        if cluster is None:
            await move_files(settings.sessions, database)
        base = Base(settings, database, index, bus, admission, Journal(database, now_ms), publish, audit, cluster)
        devices = await open_devices(base, stack)
        group = await stack.enter_async_context(asyncio.TaskGroup())
        tasks = SupervisedTasks(group, now_ms=now_ms)
        if cluster is not None:
            stack.callback(cluster.follow(devices.registry, devices.links, tasks).cancel)
        rollouts = await open_rollouts(base, devices)
        authority = await open_authority(base, devices, tasks, stack)
        link = await open_link_server(base, devices, authority, stack, group)
        plane = None
        if api_socket is not None:
            plane = await open_people_plane(base, api_socket, authority, tasks, stack)
        change_log = ChangeLog(database, fleet=base.fleet)
        change_log.report_to(news_of_changes(base, devices.registry))
        inbox, looks_after = build_inbox(base), base.looks_after(devices.registry)
        apps = Apps(
            settings,
            devices.registry,
            change_log,
            admission.gate,
            publish=publish,
            tell=notes_to_chats(inbox.outbox, publish),
            looks_after=looks_after,
        )
        history, reported = open_telemetry(base, devices, apps.source_log)
        code = build_tasks(base, proxy)
        await stack.enter_async_context(code.serving())
        servers = await stack.enter_async_context(McpServers(settings.mcp_servers, proxy=settings.proxy))
        voice = HostVoice(base, devices, link, make_voice)
        own_tools = outward_tools(base, apps, inbox.outbox, egress, code, history)
        server_tools = lambda: (*servers.tools(), *voice.tools())  # noqa: E731
        agent = Agent(base, model, apps, inbox, link, tasks, own_tools, server_tools)
        await agent.knowledge.memory.texts.refresh()
        conversations = await stack.enter_async_context(agent.conversations)
        await stack.enter_async_context(apps.late)
        runner = AgentTasks(conversations, admission.gate)
        coded = DeviceCode(code, devices.registry, settings.tasks.from_devices)
        await stack.enter_async_context(devices.links.parts.tasks.serving(runner, devices.links.link, code=coded))
        opening = open_channels(base, inbox, tasks, code.read_result)
        channels, gateway = await stack.enter_async_context(opening)
        await stack.enter_async_context(voice.serving(inbox, group))
        opening_mqtt = mqtt_serving(base, devices, apps, rollouts.offers, agent.tools, tasks, live)
        publisher = await stack.enter_async_context(opening_mqtt)
        mqtt = (lambda: MQTT_OFF) if publisher is None else publisher.status_object
        jobs, waiting = Jobs(group, settings.limits), WaitingRequests()
        questions, requests_elsewhere = Questions(admission.approvals, admission.people), None
        if cluster is not None and authority is not None:
            questions = cluster.questions(admission.approvals, admission.people)
            requests_elsewhere = cluster.requests_elsewhere(waiting, jobs)
            inbox.stop_elsewhere = cluster.stopping(inbox)
            await stack.enter_async_context(cluster.serving(authority))
        prefix = "" if cluster is None else f"{cluster.name[:20].rstrip('-')}-"
        boards = VirtualBoards(devices.registry, apps.reconciler.check, prefix=prefix)
        backups = ScheduledBackups(settings.home, settings.backup, record=audit.record, now_ms=now_ms)
        knowledge = KnowledgeService(
            gate=admission.gate,
            knowledge=agent.knowledge,
            erase=ConversationEraser(
                inbox=inbox,
                sessions=agent.knowledge.sessions,
                search=agent.knowledge.search,
                rows=ConversationRows(database, index=index),
                history=settings.chat_history,
            ).erase,
            tools=frozenset(tool.name for tool in agent.tools.tools),
            capabilities=frozenset(CALLS),
        )
        device_service = DeviceService(
            registry=devices.registry,
            gate=admission.gate,
            link=link,
            apps=apps,
            last=partial(last_values, history),
        )
        services: dict[str, Any] = {
            **agent.services,
            **dict.fromkeys(("memory", "session", "skill"), knowledge),
            "crash": CrashService(devices.registry, CrashTable(database)),
            "device": device_service,
            "fleet": apps,
            "telemetry": history,
            "cluster": None if cluster is None else cluster.view,
            "firmware": FirmwareService(rollouts, admission.gate.name_of),
            "install": InstallParts(settings, link, rollouts.publisher.moduli),
            "task": Tasks(code, admission.people),
            "voice": voice.state,
            "person": PeopleService(admission, inbox.outbox.push),
            "approval": questions,
            "usage": UsageService(usage, settings.budget, admission.people.get),
            "program": Workshop(apps, CompileQueue(apps.compile), trial_turns()),
            "app": Programs(apps, admission.gate, partial(latest_attempts, agent.conversations.journal)),
        }
        parts = HostParts(
            settings=settings,
            database=database,
            audit=audit,
            admission=admission,
            plane=plane,
            ingress=None if ingress is None else int(ingress.getsockname()[1]),
            devices=devices.registry,
            link=link,
            boards=boards,
            rollouts=rollouts,
            apps=apps,
            usage=usage,
            conversations=agent.conversations,
            knowledge=agent.knowledge,
            schedules=agent.schedules,
            services=services,
            tasks=tasks,
            jobs=jobs,
            live=live,
            pins=LivePins(group, devices.registry),
            voice=voice.state,
            channels=channels,
            mqtt=mqtt,
            mcp_servers=servers.states,
            history=history,
            backups=backups,
            code=code,
            egress=proxy,
            cluster=None if cluster is None else cluster.view,
            requests=waiting,
            requests_elsewhere=requests_elsewhere,
        )
        services["host"] = HostService(partial(read_status, parts), admission.people)
        keepalive_s = settings.limits.keepalive_s
        tools = ToolService(agent.conversations, admission, devices.registry, jobs, keepalive_s)
        mcp = McpService(
            tools,
            device_service,
            services["task"],
            boards,
            control_socket=settings.control_socket,
            record=audit.record,
            boards_ready=boards_ready,
            when_unused=when_unused,
        )
        api = host_api(parts, tools, mcp)
        listeners = [Listener("control", control_socket_app(parts, api), control)]
        if plane is not None:
            door = api_app(parts, api, plane.allowed_hosts, on_network=plane.on_network)
            listeners.append(Listener("api", door, plane.socket, tls=plane.tls))
        if ingress is not None:
            behind = Ingress(api_app(parts, api, AnyHost(), on_network=True), proxy=ingress_from)
            listeners.append(Listener("ingress", behind, ingress))
        await stack.enter_async_context(serving(listeners, group))
        await stack.enter_async_context(mcp.serving())
        await stack.enter_async_context(gateway)
        stack.callback(live.end)  # after the listeners: its readers end before those do
        await stack.enter_async_context(apps.trial_pool)  # last: its board's start must not delay the listeners
        recovered = asyncio.Event()
        recover = partial(_recover, conversations, apps, looks_after, recovered)
        left_work: dict[str, Callable[[], Awaitable[object]]] = {
            "tasks of devices": devices.links.parts.tasks.take_up,
            "code": code.take_up,
            "turns": conversations.take_up,
            "schedules": agent.schedules.runner.take_up,
        }
        stack.push_async_callback(history.flush)  # what waits when the tasks have ended
        started = [
            tasks.start("close what the last run left open", recover, after=boards_ready),
            tasks.start("reconciler", apps.reconciler.check_due, every_s=apps.reconciler.interval_s, after=recovered),
            tasks.start("rollouts", base.duty("rollouts", rollouts.run), after=boards_ready),
            *([] if cluster is None else cluster.start_work(tasks, left_work, after=recovered)),
            tasks.start("runs at intervals", apps.timed_runs.run, after=recovered),
            tasks.start("warm up the model", model.warm_up, after=boards_ready),
            tasks.start("build the C library", partial(warm_compiler, settings)),
            tasks.start("index what is remembered", agent.knowledge.search.refresh),
            tasks.start("old results of code", code.prune, every_s=PRUNE_S),
            tasks.start("keep telemetry", history.flush, every_s=FLUSH_S),
            tasks.start("make telemetry smaller", history.downsample, every_s=STEP_S),
            tasks.start("collect crashes and readings", reported.follow),
        ]
        if settings.backup is not None:
            started.append(tasks.start("backup", backups.run_due, every_s=CHECK_S, after=recovered))
        for task in started:
            stack.callback(task.cancel)
        stack.push_async_callback(jobs.drain)  # on the way out: jobs that have started may end
        stack.callback(admission.approvals.close)  # chats have let go of theirs: a request's would hold up the end
        stack.push_async_callback(conversations.drain)  # first of all: the chats' streams end before the listeners
        await stack.enter_async_context(agent.subagents.working())
        for name, work in agent.background.items():
            first_retry_s = RETRY_S.get(name, FIRST_RETRY_S)
            background = tasks.start(name, work, after=boards_ready, first_retry_s=first_retry_s)
            stack.push_async_callback(ended, background)
        if link is not None:
            link.start()
        if cluster is not None:
            cluster.addresses.api, cluster.addresses.link = parts.http, None if link is None else link.address
        yield parts


async def _open_store(
    settings: Settings, stack: AsyncExitStack, *, new_store: bool
) -> tuple[Database, HostCluster | None]:
    """The host's own, or the one that it shares with other hosts, and what comes with that."""
    if (url := settings.cluster.database) is not None:
        from microclaw.app.cluster import open_cluster  # with other hosts alone

        cluster = await open_cluster(settings, url, stack)
        return cluster.database, cluster
    await asyncio.to_thread(_check_store, settings, new_store=new_store)
    return await stack.enter_async_context(Database.open(settings.database)), None


def _check_store(settings: Settings, *, new_store: bool) -> None:
    """An empty store knows none of the devices that trust this host's authority: nobody wants that by accident."""
    store, authority = settings.database, settings.identity / AUTHORITY_FILE
    if new_store and store.exists():
        raise ConfigError(f"there is a store already: {store}", next_step="leave --new-store out")
    if not new_store and authority.exists() and not store.exists():
        raise StoreMissing(
            f"the store {store} is missing, and paired devices trust the authority in {authority}",
            next_step="microclaw backup restore FILE --replace; or begin with an empty one, and pair every device "
            "again: microclaw up --new-store",
        )


async def _recover(
    conversations: Conversations, apps: Apps, looks_after: Callable[[str], bool], recovered: asyncio.Event
) -> None:
    """Close what a crash left open; only then may the boards' programs be put back."""
    for sentence in (*await conversations.recover(), *await apps.deployer.recover(looks_after)):
        _log.warning("left open by the last run: %s", sentence)
    recovered.set()
