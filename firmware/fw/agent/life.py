"""The agent of a board: messages in, answers out. While the link is up the host's agent answers; else the board's own.

A message that the host has not answered when the link is gone for 30 s is taken back and answered here, by the person's
model if there is one, else in words. What was said meanwhile goes to the host as events, and before its next task.
"""

import asyncio
import calendar
import json
import os
import sys

from settings import Settings
from shown import shown

from agent.cron import Cron
from agent.gateway import Gateway
from agent.http import Http, HttpError
from agent.model import Model
from agent.store import Store
from agent.telegram import Telegram
from agent.text import clean, cut
from agent.tools import Tools
from agent.turn import Agent as Turns

FOLDER = "agent_data"
AWAY_S = 30
HOST_ANSWER_S = 630  # the host ends each task within 600
TURN_S = 300
MAX_WAITING = 8  # messages of a chat
MAX_CHATS = 8  # with a message that waits
MAX_TASKS = 8  # open ones, the host's limit
MAX_PREFACE_BYTES = 3000
MAX_EVENT_BYTES = 6000
HEARTBEAT_S = 1800
HEARTBEAT = "Look at your standing tasks. Do what is due now; tell what the person should hear, else say NOTHING.\n\n{}"
PENDING = "pending.json"
MEANWHILE = "meanwhile"
OVERLOADED = ("overloaded", "8 messages wait for an answer: say it again later")


class _Chat:
    def __init__(self, channel, chat_id, session):
        self.channel = channel
        self.chat_id = chat_id
        self.session = session
        self.waiting = []


class Agent:
    def __init__(self, board, settings, wifi, link, runner):
        self._board = board
        self._settings = settings
        self._wifi = wifi
        self._link = link
        self._runner = runner
        self.store = Store(settings.path(FOLDER))
        self.options = Settings(settings.path(FOLDER) + "/")
        http = Http(settings.path(FOLDER) + "/ca", self._set_clock)
        self.cron = Cron(self.store)
        self.model = Model(http, self.options)
        self.tools = tools = Tools(board, runner, self.store, self.cron, http, self.options)
        self._turns = Turns(self.store, self.model, tools)
        self.gateway = Gateway(self.options, self.take, board.now_ms)
        self.telegram = Telegram(http, self.options, self.store, self.take)
        self._channels = {"websocket": self.gateway, "telegram": self.telegram}
        self._chats = {}  # those with a message that waits, by session
        self._pending = self.store.load(PENDING, {})  # task: [channel, chat id, text]
        self._ends = {}  # task: its final task_status; None while somebody waits for it
        self._begun_ms = self._seen_ms = self._beat_ms = board.now_ms()
        self.away = not settings.get("host")
        link.on_task = self._task_ended

    def start(self):
        for work in (self.gateway.run, self.telegram.run, self._watch):
            asyncio.create_task(work())

    def command(self, words):
        """What the console says to a command of the agent's; None for any other."""
        from agent.commands import perform

        return perform(self, words)

    def beat_now(self):
        """HEARTBEAT.md is looked at within a second."""
        self._beat_ms = self._board.now_ms() - HEARTBEAT_S * 1000

    # Messages

    def take(self, channel, chat_id, text):
        """Queue it. (code, words) when it cannot be."""
        session = session_of(channel, chat_id)
        chat = self._chats.get(session)
        if chat is None:
            if len(self._chats) >= MAX_CHATS:
                return OVERLOADED
            chat = self._chats[session] = _Chat(channel, chat_id, session)
            asyncio.create_task(self._converse(chat))
        if len(chat.waiting) >= MAX_WAITING:
            return OVERLOADED
        chat.waiting.append((chat_id, clean(text)))

    async def _converse(self, chat):
        """One message after the other, until none waits."""
        while chat.waiting:
            chat.chat_id, text = chat.waiting[0]
            try:
                answer = await self._answer(chat, text)
            except Exception as exc:  # a defect, or no memory: the next message must find the agent alive
                sys.print_exception(exc)
                answer = "Something went wrong on this board ({}). Say it again.".format(type(exc).__name__)
            chat.waiting.pop(0)
            if answer:
                await self._channels[chat.channel].deliver(chat.chat_id, answer)
        del self._chats[chat.session]

    async def _answer(self, chat, text):
        answer = None if self.away else await self._by_host(chat, text)
        if answer is not None:
            return answer
        if not self.model.is_given:
            answer = self._away_words()
        else:
            try:
                answer = await asyncio.wait_for(
                    self._turns.answer((chat.channel, chat.chat_id), chat.session, text), TURN_S
                )
            except asyncio.TimeoutError:
                answer = "I stopped: {} s were not enough. What was done is done.".format(TURN_S)
            except HttpError as exc:
                answer = "The host is away, and this board cannot ask its model: {}".format(exc)
        answer = clean(answer)
        self._remember(chat.session, text, answer, "board")
        return answer

    def _away_words(self):
        running = [row["name"] for row in self._runner.list() if row["state"] == "running"]
        words = "The host is away. " if self._settings.get("host") else "This board has no host. "
        words += "It has no model of its own. Programs that run on: {}.".format(", ".join(running) or "none")
        return words + (" Say it again when the host is back." if self._settings.get("host") else "")

    def _remember(self, session, text, answer, by):
        now_s = calendar.now_ms() // 1000
        try:
            self.store.add(session, (("user", text, now_s, by), ("assistant", answer, now_s, by)))
            if by == "board":
                names = self.store.read(MEANWHILE).split("\n")
                if session not in names:
                    self.store.write(MEANWHILE, "\n".join([name for name in names if name] + [session]))
        except OSError as exc:
            print("the agent forgets: the flash cannot be written ({})".format(exc))

    # The host's agent

    async def _by_host(self, chat, text):
        """The host's answer; None when it went away before it answered."""
        while self._link.phase != "ready":  # not into the outbox: nobody should find it there in an hour
            if self.away:
                return None
            await asyncio.sleep_ms(100)
        if len(self._pending) >= MAX_TASKS:
            self._forget_old()
        if len(self._pending) >= MAX_TASKS:
            return "The host has {} questions of this board: say it again later.".format(MAX_TASKS)
        self._hand_back(chat.session)
        task = "".join(["%02x" % b for b in os.urandom(8)])
        asked = {"task": task, "kind": "agent", "input": self._preface(chat.session) + text, "timeout_s": 600}
        self._ends[task] = None
        try:
            self._keep_pending(task, [chat.channel, chat.chat_id, text])
            if not self._link.emit("run_task", asked):
                self._keep_pending(task, None)
                return "Too much waits for the host: say it again later."
            until_ms = self._board.now_ms() + HOST_ANSWER_S * 1000
            while self._ends[task] is None:
                await asyncio.sleep_ms(100)
                if self._ends[task] is None and (self.away or self._board.now_ms() > until_ms):
                    self._take_back(task)
                    return None if self.away else "The host did not answer in time. Say it again, or ask for less."
            return self._ends[task]
        finally:
            del self._ends[task]

    def _preface(self, session):
        """What the host must know of the time without it."""
        rows = self.store.meanwhile(session)
        if not rows:
            return ""
        text = "\n".join(
            ["{}: {}".format("person" if row["role"] == "user" else "board", row["content"]) for row in rows]
        )
        if len(text.encode()) > MAX_PREFACE_BYTES:
            text = "... " + cut(text[-MAX_PREFACE_BYTES // 2 :], MAX_PREFACE_BYTES)
        return "(While you were away the board answered by itself:\n{}\n)\nNow the person says: ".format(text)

    def _task_ended(self, body):
        """From the link, before it acks: a power cut after this has the answer in the conversation."""
        waiting = self._pending.get(body["task"])
        if waiting is None:
            return
        channel, chat_id, text = waiting[:3]
        answer, is_late = clean(str(body.get("text") or body["state"])), len(waiting) > 3
        if not is_late or body["state"] == "done":
            self._remember(session_of(channel, chat_id), text, answer, "host")
        self._keep_pending(body["task"], None)
        if body["task"] in self._ends and not is_late:
            self._ends[body["task"]] = answer
        elif (
            body["state"] == "done"
        ):  # it was done before the host heard that it was taken back, or the board restarted
            words = "From the host, which had done it before it went away: " if is_late else ""
            asyncio.create_task(self._channels[channel].deliver(chat_id, words + answer))

    def _take_back(self, task):
        """The host must not do later what was answered here; if it did already, its answer is told."""
        self._link.emit("cancel_task", {"task": task})
        self._keep_pending(task, self._pending[task][:3] + [calendar.now_ms() // 1000])

    def _keep_pending(self, task, waiting):
        pending = dict(self._pending)
        pending.pop(task, None)
        if waiting is not None:
            pending[task] = waiting
        self._pending = pending
        try:
            self.store.write(PENDING, json.dumps(pending))
        except OSError as exc:  # it matters only over a restart; the link must go on
            print("the agent's questions to the host are not kept: {}".format(exc))

    def _forget_old(self):
        """Questions that nobody waits for, of a host that never ended them: it has lost them."""
        if self._board.now_ms() - self._begun_ms > 1000 * HOST_ANSWER_S:
            for task in list(self._pending):
                if task not in self._ends:
                    self._keep_pending(task, None)

    # The clock

    async def _watch(self):
        """Whether the host is away, jobs, the heartbeat; each second, for ever."""
        while True:
            await asyncio.sleep(1)
            try:
                self._look(self._board.now_ms())
                for job in self.cron.due(calendar.now_ms() // 1000):
                    self._begin(job.get("channel"), job.get("chat_id"), job["message"])
                self._beat()
            except Exception as exc:  # a defect, or a full flash: the watch goes on
                sys.print_exception(exc)

    def _look(self, now_ms):
        if self._link.phase == "ready":
            self._seen_ms = now_ms
            self.away = False
            self._hand_back()
        elif not self.away and now_ms - self._seen_ms >= AWAY_S * 1000:
            self.away = True
            for task in list(self._pending):  # those of an earlier start have nobody that waits
                if task not in self._ends and len(self._pending[task]) == 3:
                    self._take_back(task)
            self._seen_ms = now_ms

    def _hand_back(self, session=None):
        """What was said in one session meanwhile, as an event that is kept until the host has it."""
        names = [name for name in self.store.read(MEANWHILE).split("\n") if name]
        if not names or (session is not None and session not in names):
            return
        session = session or names[0]
        turns, size = [], 0
        for row in reversed(self.store.meanwhile(session)):
            size += len(row["content"].encode()) + 40
            if size > MAX_EVENT_BYTES:
                break
            turns.insert(0, {"role": row["role"], "content": row["content"], "ts": row.get("ts", 0)})
        data = {"session": session, "turns": turns}
        if not turns or self._link.emit("event", {"name": "agent.conversation", "data": data}):
            self.store.write(MEANWHILE, "\n".join([name for name in names if name != session]))

    def _beat(self):
        """Standing tasks, when the host, which has its own, is away."""
        now_ms = self._board.now_ms()
        if now_ms - self._beat_ms < HEARTBEAT_S * 1000:
            return
        self._beat_ms = now_ms
        tasks = self.store.read("HEARTBEAT.md", 4000)
        lines = [line.strip() for line in tasks.split("\n")]
        if self.away and self.model.is_given and any(line and line[0] != "#" for line in lines):
            asyncio.create_task(self._heartbeat(tasks))

    async def _heartbeat(self, tasks):
        chats = self.options.get("tg_chats", [])
        channel, chat_id = ("telegram", str(chats[0])) if chats else ("websocket", "ws_heartbeat")
        try:
            turn = self._turns.answer((channel, chat_id), "heartbeat", HEARTBEAT.format(tasks))
            answer = await asyncio.wait_for(turn, TURN_S)
        except (HttpError, asyncio.TimeoutError) as exc:
            print("heartbeat: {}".format(shown(str(exc))))
            return
        if answer.strip().strip(".") != "NOTHING":
            await self._channels[channel].deliver(chat_id, clean(answer))

    def _begin(self, channel, chat_id, text):
        """A job's message, in its chat."""
        if channel not in self._channels:
            channel = "websocket"  # of a file from elsewhere: it waits for a client of this chat
        refused = self.take(channel, chat_id or "ws_cron", text)
        if refused:
            print("cron: {}".format(refused[1]))

    async def _set_clock(self):
        """Without a host nobody told the board the time."""
        from ntp import set_clock

        await set_clock(self._settings, self._board)


def session_of(channel, chat_id):
    """The session's name, as on MimiClaw: tg_12345, ws_client1."""
    if channel == "telegram":
        return "tg_" + chat_id
    return chat_id if chat_id.startswith("ws_") else "ws_" + chat_id
