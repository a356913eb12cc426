"""Builds every part of the host and takes them down again in order. It holds no logic of its own."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
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
from microclaw.api.metrics import MetricSources
from microclaw.api.parts import HostParts
from microclaw.api.server import Listener, serving, unix_listener
from microclaw.api.status import ChannelStates, HostStatus
from microclaw.api.waiting import WaitingRequests
from microclaw.app.agent import background_running, build_agent, build_model
from microclaw.app.channels import open_channels
from microclaw.app.cluster import check_store, open_store
from microclaw.app.devices import (
    Apps,
    Base,
    build_apps,
    change_publisher,
    change_recorder,
    deferred_notes,
    late_notes,
    open_devices,
    open_link_server,
    warm_compiler,
)
from microclaw.app.firmware import open_firmware
from microclaw.app.mqtt import HostMqtt
from microclaw.app.people_plane import PeoplePlane, ingress_socket, open_people_plane, people_socket
from microclaw.app.tasks import build_tasks, code_of_devices, task_tools
from microclaw.app.telemetry import build_records, keep_records
from microclaw.app.voice import HostVoice, VoiceMaker
from microclaw.apps.changes import ChangeLog
from microclaw.apps.late_proof import LateProofs
from microclaw.audit import AuditLog
from microclaw.auth.admission import Admission, open_admission
from microclaw.auth.approvals import approval_event
from microclaw.backup.scheduled import CHECK_S, ScheduledBackups
from microclaw.bus import Bus
from microclaw.clock import now_ms
from microclaw.config.settings import Settings
from microclaw.config.show import secret_texts
from microclaw.devices.registry import Registry
from microclaw.egress.destinations import Egress
from microclaw.egress.policy import AllowlistSource
from microclaw.egress.proxy import EgressProxy
from microclaw.egress.secret_values import SecretValues
from microclaw.masking import SecretMask
from microclaw.mcp.client.servers import McpServers
from microclaw.models.protocol import Model
from microclaw.store.apps import AppTable
from microclaw.store.database import Database
from microclaw.store.erase import ConversationRows
from microclaw.store.journal import Journal
from microclaw.store.session_files import move_files
from microclaw.supervision import SupervisedTasks
from microclaw.tasks.service import PRUNE_S
from microclaw.virtual_boards.host_boards import VirtualBoards

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Host:
    """A running host. `plane` is where people and programs call it, `link` where devices connect, `ingress` the port
    for Home Assistant's; None without one.

    `boards` starts its virtual boards; there are none before.
    """

    settings: Settings
    devices: Registry
    model: Model
    plane: PeoplePlane | None
    link: str | None
    channels: ChannelStates
    boards: VirtualBoards
    audit: AuditLog
    status: HostStatus
    admission: Admission
    ingress: int | None = None

    @property
    def http(self) -> str | None:
        """The address of the API."""
        return None if self.plane is None else self.plane.urls[0]


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
) -> AsyncIterator[Host]:
    """Inside, the host answers on its control socket. Leaving it ends every part in order and loses nothing.

    Turns that the last run left unfinished go on once `boards_ready` is set, where one is given.
    `egress` replaces the rule that only public addresses are fetched, for tests with servers of their own.
    `make_voice` makes what voice works with; without it nobody is heard. `mask` is that of the log, which the host
    tells the secrets that it reads later. `ingress_from` replaces the Supervisor's address, for tests.

    Raises StoreError when another host owns this home, StoreMissing unless `new_store` is what a person wants there,
    ConfigError when a port is taken.
    """
    if settings.cluster.database is None:
        await asyncio.to_thread(check_store, settings, new_store=new_store)
    async with AsyncExitStack() as stack:
        database, cluster = await open_store(settings, stack)
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
        mqtt = HostMqtt()
        publish, journal = mqtt.publishing(live.put), Journal(database, now_ms)
        if cluster is not None:
            publish = await stack.enter_async_context(cluster.sharing(publish, mqtt.hearing(live.put)))
        admission.approvals.listen(lambda news: publish(approval_event(news, admission.people, now_ms())))
        index = database if cluster is None else await stack.enter_async_context(Database.open(settings.cluster_index))
        if cluster is None:
            await move_files(settings.sessions, database)
        base = Base(settings, database, index, bus, admission, AppTable(database), journal, publish, audit, cluster)
        devices = await open_devices(base, stack)
        group = await stack.enter_async_context(asyncio.TaskGroup())
        tasks = SupervisedTasks(group, now_ms=now_ms)
        if cluster is not None:
            stack.callback(cluster.follow(devices.registry, devices.links, tasks).cancel)
        firmware = await open_firmware(base, devices)
        link = await open_link_server(base, devices, stack, group, tasks)
        plane = None
        if api_socket is not None:
            plane = await open_people_plane(settings, api_socket, database, tasks, stack, audit.record)
        http = None if plane is None else plane.urls[0]
        completed = change_publisher(devices.registry, base.publish, now_ms)
        settled = change_recorder(devices.registry, admission.people, audit.record)
        change_log = ChangeLog(base.app_table, completed=mqtt.completing(completed), settled=settled, fleet=base.fleet)
        looks_after = base.looks_after(devices.registry)
        apps = build_apps(
            settings,
            devices.registry,
            change_log,
            admission.gate,
            base.publish,
            looks_after=looks_after,
        )
        records = build_records(base, devices, apps)
        code = build_tasks(base, proxy)
        await stack.enter_async_context(code.serving())
        servers = await stack.enter_async_context(McpServers(settings.mcp_servers, proxy=settings.proxy))
        voice = HostVoice(base, devices, link, make_voice)
        agent = build_agent(
            base,
            model,
            devices.registry,
            apps,
            link,
            tasks,
            server_tools=lambda: (*servers.tools(), *voice.tools()),
            egress=egress,
            own_tools=task_tools(base, devices, code, records.history),
        )
        await agent.knowledge.memory.texts.refresh()
        conversations = await stack.enter_async_context(agent.conversations)
        tell = late_notes(agent.inbox.outbox, devices.registry, base.publish)
        late = LateProofs(devices=devices.registry, change_log=apps.change_log, tell=tell)
        apps.deployer.look_later = (await stack.enter_async_context(late)).watch
        apps.deferrals.tell = deferred_notes(agent.inbox.outbox, base.publish)
        runner, coded = AgentTasks(conversations, admission.gate), code_of_devices(base, devices, code)
        await stack.enter_async_context(devices.tasks.serving(runner, devices.links.link, code=coded))
        opening = open_channels(settings, agent.inbox, admission, group, tasks, code.read_result, duty=base.duty)
        channels, gateway = await stack.enter_async_context(opening)
        await stack.enter_async_context(voice.serving(agent.inbox, group))
        await stack.enter_async_context(mqtt.serving(base, devices, apps, firmware, agent.tools, tasks))
        jobs, waiting = Jobs(group, settings.limits), WaitingRequests()
        elsewhere, requests_elsewhere = None, None
        if cluster is not None:
            elsewhere = cluster.questions(admission.approvals)
            requests_elsewhere = cluster.requests_elsewhere(waiting, jobs)
            agent.inbox.stop_elsewhere = cluster.stopping(agent.inbox)
            await stack.enter_async_context(cluster.serving())
        prefix = "" if cluster is None else f"{cluster.name[:20].rstrip('-')}-"
        boards = VirtualBoards(devices.registry, apps.reconciler.check, prefix=prefix)
        backups = ScheduledBackups(settings.home, settings.backup, record=audit.record, now_ms=now_ms)
        status = HostStatus(
            settings=settings,
            devices=devices.registry,
            change_log=apps.change_log,
            reconciler=apps.reconciler,
            model=model,
            http=http,
            urls=() if plane is None else plane.urls,
            local_url=None if plane is None else plane.local_url,
            ca_sha256=None if plane is None else plane.fingerprint,
            link=link,
            channels=channels,
            xiaozhi=voice.xiaozhi_object,
            wyoming=voice.wyoming_object,
            mqtt=mqtt.status_object,
            mcp_servers=servers.states,
            schedules=agent.schedules.scheduling.book,
            approvals=admission.approvals,
            people=admission.people,
            usage=usage,
            boards=boards.standing,
            tasks=tasks.states,
            audit=audit,
            window=agent.client_turns.context.window,
            history=records.history,
            crashes=records.crashes,
            backup=backups.object,
            rollouts=firmware.rollouts.rollouts,
            code=code.counts,
            egress=proxy,
            refusal=database.refusal,
        )
        parts = HostParts(
            settings=base.settings,
            conversations=agent.conversations,
            client_turns=agent.client_turns,
            devices=devices.registry,
            publisher=firmware.publisher,
            offers=firmware.offers,
            rollouts=firmware.rollouts,
            deployer=apps.deployer,
            lifecycle=apps.lifecycle,
            deferrals=apps.deferrals,
            upgrader=apps.upgrader,
            direct_io=apps.direct_io,
            undo=apps.undo,
            explorer=apps.explorer,
            catalogue=apps.catalogue,
            source_log=apps.source_log,
            compile=apps.compile,
            try_image=apps.try_image,
            gate=base.admission.gate,
            approvals=base.admission.approvals,
            people=base.admission.people,
            tokens=base.admission.tokens,
            sign_ins=base.admission.sign_ins,
            watching=base.admission.watching,
            toolbox=agent.tools,
            jobs=jobs,
            cluster=None if base.cluster is None else base.cluster.view.status,
            elsewhere=elsewhere,
            requests=waiting,
            requests_elsewhere=requests_elsewhere,
            metrics=MetricSources(
                cluster=(lambda: None) if base.cluster is None else base.cluster.view.gauges,
                devices=lambda: len(devices.registry.list()),
                kept=apps.reconciler.status,
                listeners=lambda: live.listeners,
                link=None if link is None else devices.meter,
                depths=devices.links.depths,
                voice=lambda: None if voice.service is None else voice.service.parts.traces,
                mqtt=mqtt.status_object,
                telemetry=partial(records.metrics, devices.registry),
                code=code.counts,
            ),
            live=live,
            pins=LivePins(group, devices.registry),
            link=link,
            voice=lambda: voice.service,
            voice_problem=lambda: voice.problem,
            attempts=partial(latest_attempts, base.journal),
            status=status.read,
            failing=tasks.failing,
            refusal=database.refusal,
            knowledge=agent.knowledge,
            usage=usage,
            schedules=agent.schedules,
            erase=ConversationEraser(
                inbox=agent.inbox,
                sessions=agent.knowledge.sessions,
                search=agent.knowledge.search,
                rows=ConversationRows(base.database, index=base.index),
                history=base.settings.chat_history,
            ).erase,
            history=records.history,
            crashes=records.crashes,
            read_home=backups.reading,
            code=code,
        )
        api = host_api(parts)
        listeners = [Listener("control", control_socket_app(parts, api), control)]
        if plane is not None:
            door = api_app(parts, api, plane.allowed_hosts, on_network=plane.on_network)
            listeners.append(Listener("api", door, plane.socket, tls=plane.tls))
        if ingress is not None:
            behind = Ingress(api_app(parts, api, AnyHost(), on_network=True), proxy=ingress_from)
            listeners.append(Listener("ingress", behind, ingress))
        await stack.enter_async_context(serving(listeners, group))
        if gateway is not None:
            stack.callback(gateway.close)  # together with the other listeners, not after them
        stack.callback(live.end)  # after the listeners: its readers end before those do
        await stack.enter_async_context(apps.trial_pool)  # last: its board's start must not delay the listeners
        recovered = asyncio.Event()
        recover = partial(_recover, conversations, apps, looks_after, recovered)
        left_work: dict[str, Callable[[], Awaitable[object]]] = {
            "tasks of devices": devices.tasks.take_up,
            "code": code.take_up,
            "turns": conversations.take_up,
            "schedules": agent.schedules.runner.take_up,
        }
        for task in (
            tasks.start("close what the last run left open", recover, after=boards_ready),
            tasks.start("reconciler", apps.reconciler.check_due, every_s=apps.reconciler.interval_s, after=recovered),
            tasks.start("rollouts", base.duty("rollouts", firmware.rollouts.run), after=boards_ready),
            *([] if cluster is None else cluster.start_work(tasks, left_work, after=recovered)),
            tasks.start("runs at intervals", apps.timed_runs.run, after=recovered),
            tasks.start("warm up the model", model.warm_up, after=boards_ready),
            tasks.start("build the C library", partial(warm_compiler, settings)),
            tasks.start("index what is remembered", agent.knowledge.search.refresh),
            tasks.start("old results of code", code.prune, every_s=PRUNE_S),
            *(
                []
                if settings.backup is None
                else [tasks.start("backup", backups.run_due, every_s=CHECK_S, after=recovered)]
            ),
        ):
            stack.callback(task.cancel)
        keep_records(records, tasks, stack)
        stack.push_async_callback(jobs.drain)  # on the way out: jobs that have started may end
        stack.callback(admission.approvals.close)  # chats have let go of theirs: a request's would hold up the end
        stack.push_async_callback(conversations.drain)  # first of all: the chats' streams end before the listeners
        await stack.enter_async_context(background_running(agent, tasks, boards_ready))
        if gateway is not None:
            gateway.open()
        if link is not None:
            link.start()
        address = link.address if link is not None else None
        if cluster is not None:
            cluster.addresses.api, cluster.addresses.link = http, address
        port = None if ingress is None else int(ingress.getsockname()[1])
        yield Host(
            settings,
            devices.registry,
            model,
            plane,
            address,
            channels,
            boards,
            audit,
            status,
            admission,
            port,
        )


async def _recover(
    conversations: Conversations, apps: Apps, looks_after: Callable[[str], bool], recovered: asyncio.Event
) -> None:
    """Close what a crash left open; only then may the boards' programs be put back."""
    for sentence in (*await conversations.recover(), *await apps.deployer.recover(looks_after)):
        _log.warning("left open by the last run: %s", sentence)
    recovered.set()
