"""ArduinoJson.h reads and writes what Python's json does, within its memory, and is used as people know it."""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from microclaw.errors import BuildError
from microclaw.programs.wasm.refusals import refusal_of, refused_name
from microclaw.programs.wasm.wasm_image import WasmImage

READ_ALL: Final = r"""
#include <ArduinoJson.h>
#include <LittleFS.h>
void setup() {
  JsonDocument doc;
  File texts = LittleFS.open("/texts", "r");
  File results = LittleFS.open("/results", "w");
  while (texts.available()) {
    String text = texts.readStringUntil('\n');
    DeserializationError error = deserializeJson(doc, text);
    results.print(error.c_str());
    results.print(' ');
    serializeJson(doc, results);
    results.print('\n');
  }
  doc.clear();
  results.printf("used %u", (unsigned)doc.memoryUsage());
}
void loop() { delay(1000); }
"""
VALID: Final = (
    "{}",
    "[]",
    ' { "a" : [ 1 , 2 ] , "b" : { "c" : null } } ',
    '{"a":1,"b":2,"a":{"c":3}}',
    '{"":0}',
    "true",
    "false",
    "null",
    "0",
    "-0",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "-9223372036854775809",
    "0.1",
    "-1.5e-7",
    "1E+30",
    "5e-324",
    "1.7976931348623157e308",
    "3.141592653589793",
    "123456789.12345678",
    '""',
    r'"\"\\\/\b\f\n\r\t"',
    r'"\u0041\u00e4\u20ac\ud83d\ude00"',
    r'"nul \u0000 and \u001f"',
    '"Grüße 😀"',
    "[" * 10 + "]" * 10,
    '{"a":' * 10 + "1" + "}" * 10,
    '"' + "x" * 1500 + '"',
)
INVALID: Final = (
    *("{,}", "[1,]", "[,1]", '{"a" 1}', '{"a":1,}', "{a:1}", "[1 2]", "[1}", '{"a":1]', "]", ":"),
    *("tru!", "nul1", "-x", "+1", ".5", "[--1]", "[1e]x", "[1e+-2]", "NaN", "Infinity", "-Infinity"),
    *(r'"\x"', r'"\u12g4"'),
)


def on_the_board(image: WasmImage, on_board: Any, folder: Path, texts: Sequence[str]) -> list[tuple[str, str]]:
    """Read each text in one run; return the codes of the errors, and what was written of the values."""
    storage = folder / "storage"
    storage.mkdir(exist_ok=True)
    (storage / "texts").write_bytes("".join(f"{text}\n" for text in texts).encode())
    ran = on_board.run(image, 600_000)
    *lines, last = (storage / "results").read_text(encoding="utf-8", errors="surrogateescape").split("\n")
    assert last == "used 0", ran.all
    results = []
    for line in lines:
        code, _, value = line.partition(" ")
        results.append((code, value))
    assert len(results) == len(texts)
    return results


def refuse_constant(name: str) -> None:
    raise ValueError(name)


DECODER: Final = json.JSONDecoder(strict=False, parse_constant=refuse_constant)


def read_by_python(text: str) -> Any:
    """Return the first value of a text. Raises ValueError."""
    return DECODER.raw_decode(text.lstrip(" \t\r\n"))[0]


def with_reals(value: Any) -> Any:
    """Return the value as a board has it: integers of more than 64 bits are real, and what is too large is null."""
    if isinstance(value, list):
        return [with_reals(item) for item in value]
    if isinstance(value, dict):
        return {key: with_reals(item) for key, item in value.items()}
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return float(value)
    return None if value in (math.inf, -math.inf) else value


async def test_valid_invalid_and_truncated_texts_are_read_as_python_reads_them(
    compile_c: Any, on_board: Any, tmp_path: Path
) -> None:
    whole = r'{"name":"A\u00e4","list":[1,-2.5e3,true,null,{"x":[]}],"end":false}'
    prefixes = [whole[:length] for length in range(1, len(whole))]
    image = await compile_c(READ_ALL, language="sketch")
    texts = [*VALID, *INVALID, *prefixes, " \t", "[" * 11 + "]" * 11]
    results = on_the_board(image, on_board, tmp_path, texts)
    codes = [code for code, _ in results]
    assert codes[: len(VALID)] == ["Ok"] * len(VALID)
    for text, (_, value) in zip(VALID, results, strict=False):
        assert json.loads(value) == with_reals(json.loads(text)), text
    rest = codes[len(VALID) :]
    assert rest[: len(INVALID)] == ["InvalidInput"] * len(INVALID)
    assert rest[len(INVALID) :] == ["IncompleteInput"] * len(prefixes) + ["EmptyInput", "TooDeep"]


def random_value(chance: random.Random, levels: int) -> Any:
    kind = chance.randrange(9 if levels else 7)
    if kind == 7:
        return [random_value(chance, levels - 1) for _ in range(chance.randrange(4))]
    if kind == 8:
        return {random_text(chance): random_value(chance, levels - 1) for _ in range(chance.randrange(4))}
    values = (None, True, False, chance.getrandbits(64), -chance.getrandbits(63), chance.uniform(-1e9, 1e9) ** 5)
    return random_text(chance) if kind == 6 else values[kind]


def random_text(chance: random.Random) -> str:
    return "".join(chance.choices('ab "\\/\u00e4\u20ac\U0001f600\n\x01', k=chance.randrange(6)))


def changed(chance: random.Random, text: str) -> str:
    """Return the text with a character less, more or replaced."""
    at = chance.randrange(len(text))
    character = "".join(chance.choices('[]{}",:\\0-.etn u', k=chance.randrange(2)))
    return text[:at] + character + text[at + chance.randrange(2) :]


# What the library reads beside JSON: 01, 1. and 1.e2; and whether a number goes on behind the end is seen later.
LENIENT: Final = re.compile(r"(?<![\d.])0\d|\d\.(?!\d)|^\s*-?\d")


async def test_two_thousand_texts_are_read_as_python_reads_them(compile_c: Any, on_board: Any, tmp_path: Path) -> None:
    chance = random.Random(7)
    texts = []
    for number in range(2000):
        text = json.dumps(random_value(chance, 4), ensure_ascii=chance.random() < 0.5)
        texts.append(changed(chance, text) if number % 2 else text)
    image = await compile_c(READ_ALL, language="sketch")
    compared = 0
    for text, (code, value) in zip(texts, on_the_board(image, on_board, tmp_path, texts), strict=True):
        try:
            wanted = with_reals(read_by_python(text))
        except ValueError:
            assert code != "Ok" or LENIENT.search(text), text
            compared += code != "Ok"
            continue
        if code == "Ok":
            read = json.loads(value.encode("utf-8", "surrogateescape").decode("utf-8", "surrogatepass"))
            assert read == wanted, text
            compared += 1
        else:
            assert LENIENT.search(text), (text, code)
    assert compared > 1900


USES: Final = r"""
#include <ArduinoJson.h>
JsonDocument global;
enum Mode { OFF, SLOW, FAST };
Mode mode = OFF;
void show(JsonObject object) {
  for (JsonPair pair : object) {
    Serial.printf("%s=%s ", pair.key().c_str(), pair.value().as<String>().c_str());
  }
  Serial.println();
}
void setup() {
  const char *text = "{'city':'Oslo','main':{'t':-3.5,'list':[1,2,{'deep':true}]},"
                     "'id':9007199254740993,'u':18446744073709551615}";
  DynamicJsonDocument doc(1024);
  DeserializationError error = deserializeJson(doc, text, strlen(text));
  if (error) {
    Serial.println(error.f_str());
  }
  const char *city = doc["city"];
  String again = doc["city"];
  float t = doc["main"]["t"];
  int second = doc["main"]["list"][1];
  bool deep = doc["main"]["list"][2]["deep"];
  Serial.printf("%s %s %.1f %d %d\n", city, again.c_str(), t, second, deep);
  Serial.println(doc["id"].as<int64_t>());
  Serial.println(doc["u"].as<uint64_t>());
  Serial.println(doc["id"].as<int>());
  Serial.println(doc["city"].as<int>());
  Serial.println(doc["none"] | "nothing");
  Serial.println(doc["main"]["t"] | 7);
  Serial.println(doc["main"]["none"]["deeper"][3].isNull());
  Serial.println(doc["main"].is<JsonObject>() && doc["main"]["list"].is<JsonArray>() && doc["main"]["t"].is<float>());
  Serial.println(doc["main"]["t"].is<int>() || doc["city"].is<int>() || doc["u"].is<long>());
  Serial.println(doc["city"] == "Oslo" && doc["city"] != again + "x");
  Serial.println(doc["main"]["t"] < 0 && doc["main"]["list"][0] == 1 && doc["main"]["list"][0] != 1.5);
  Serial.println(doc.containsKey("city") && !doc.containsKey(String("town")));
  Serial.println(doc["main"]["list"].size());

  StaticJsonDocument<200> out;
  String name = "lamp";
  mode = FAST;
  out["name"] = name;
  out["mode"] = mode;
  out["t"] = 21.3f;
  out["precise"] = 0.1 + 0.2;
  out["fixed"] = serialized(String(2.0 / 3, 2));
  out["off"] = nullptr;
  out["list"][1] = -5;
  JsonObject inner = out.createNestedObject("inner");
  inner["a"] = doc["main"]["list"][2];
  JsonArray array = out["array"].to<JsonArray>();
  array.add(1);
  array.add("two");
  array.add<JsonObject>()["three"] = 3;
  serializeJson(out, Serial);
  Serial.println();
  show(inner);
  for (JsonVariant item : array) {
    Serial.print(item.as<String>() + ";");
  }
  Serial.println();
  for (JsonArray::iterator item = array.begin(); item != array.end(); ++item) {
    if (*item == "two") {
      array.remove(item);
    }
  }
  array.remove(0);
  out.remove("list");
  String written;
  size_t length = serializeJsonPretty(array, written);
  Serial.println(written);
  char small[8];
  Serial.printf("%u %u %u %.8s\n", length, measureJsonPretty(array), serializeJson(out, small), small);
  global["copy"] = out;
  global["copy"]["inner"] = global["copy"]["inner"]["a"];
  JsonDocument other = global;
  global.clear();
  Serial.printf("%d %u ", global.isNull(), global.memoryUsage());
  serializeJson(other["copy"]["inner"], Serial);
  Serial.println();
  inner = doc["main"]["nowhere"];
  inner["lost"] = 1;
  Serial.printf("%d %d\n", inner.isNull(), (bool)inner);
}
void loop() { delay(1000); }
"""
SHOWN: Final = r"""Oslo Oslo -3.5 2 1
9007199254740993
18446744073709551615
0
0
nothing
7
1
1
0
1
1
1
3
{"name":"lamp","mode":2,"t":21.3,"precise":0.30000000000000004,"fixed":0.67,"off":null,"list":[null,-5],"inner":{"a":{"deep":true}},"array":[1,"two",{"three":3}]}
a={"deep":true}
1;two;{"three":3};
[
  {
    "three": 3
  }
]
26 26 8 {"name":
1 0 {"deep":true}
1 0"""


async def test_documents_are_used_as_in_versions_6_and_7(compile_c: Any, on_board: Any) -> None:
    ran = on_board.run(await compile_c(USES, language="sketch"), 1000)
    assert [line.rstrip() for line in ran.own] == SHOWN.splitlines()


FULL: Final = r"""
#include <ArduinoJson.h>
void setup() {
  uint32_t before = ESP.getFreeHeap();
  {
    JsonDocument doc;
    int count = 0;
    while (doc["list"].add("a text of some length")) {
      count++;
    }
    Serial.printf("%d %d %d\n", count > 20, doc.overflowed(), doc["list"].size() >= (size_t)count);
    doc.clear();
    String text = "[";
    for (int i = 0; i < 300; i++) {
      text += "0,";
    }
    JsonDocument other;
    Serial.println(deserializeJson(other, text + "0]").c_str());
    Serial.println(deserializeJson(doc, "[1,2").c_str());
    Serial.println(doc.memoryUsage());
    Serial.println(deserializeJson(doc, "[1,2]").c_str());
    doc[100000] = 1;
    Serial.printf("%d %u\n", doc.overflowed(), doc.size());
  }
  Serial.println(before - ESP.getFreeHeap());
}
void loop() { delay(1000); }
"""


async def test_a_full_document_says_so_and_gives_its_memory_back(compile_c: Any, on_board: Any) -> None:
    ran = on_board.run(await compile_c(FULL, language="sketch"), 1000)
    shown = [line for line in ran.own if not line.startswith("warning: allocate")]
    assert shown == ["1 1 1", "NoMemory", "IncompleteInput", "0", "Ok", "1 2", "0"]


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("deserializeJson(doc, text, DeserializationOption::Filter(doc));", "DeserializationOption"),
        ("deserializeMsgPack(doc, text);", "deserializeMsgPack"),
        ("DynamicJsonBuffer buffer;", "DynamicJsonBuffer"),
    ],
)
async def test_what_is_not_here_is_refused_by_name(compile_c: Any, line: str, name: str) -> None:
    declared = 'JsonDocument doc;\n  const char *text = "1";'
    sketch = f"#include <ArduinoJson.h>\nvoid setup() {{\n  {declared}\n  {line}\n}}\n"
    with pytest.raises(BuildError) as caught:
        await compile_c(f"{sketch}void loop() {{}}\n", language="sketch")
    advice = refused_name(name)
    assert advice is not None
    assert caught.value.diagnostics[0].line == 5
    assert caught.value.diagnostics[0].hint == advice.hint


async def test_a_document_without_its_header_is_told_the_header(compile_c: Any) -> None:
    with pytest.raises(BuildError) as caught:
        await compile_c("void setup() { JsonDocument doc; }\nvoid loop() {}\n", language="sketch")
    assert "ArduinoJson.h" in (caught.value.diagnostics[0].hint or "")


@pytest.mark.parametrize("use", ['doc["a"] = pair;', 'doc["a"].add(pair);', "doc = pair;", 'doc["a"].as<Pair>();'])
async def test_a_value_that_json_has_not_is_refused_where_it_stands(compile_c: Any, use: str) -> None:
    declared = "Pair pair = {1, 2};\n  JsonDocument doc;"
    sketch = f"#include <ArduinoJson.h>\nstruct Pair {{ int a, b; }};\nvoid setup() {{\n  {declared}\n  {use}\n}}\n"
    with pytest.raises(BuildError) as caught:
        await compile_c(f"{sketch}void loop() {{}}\n", language="sketch")
    advice = refusal_of("values that JSON has not")
    assert (caught.value.diagnostics[0].line, caught.value.diagnostics[0].hint) == (6, advice.hint)
