"""Which language other than English a sentence is in, by its letters and its commonest words. It translates nothing."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_SCRIPTS: Final = {
    "CYRILLIC": "Russian or another language in Cyrillic letters", "GREEK": "Greek", "ARABIC": "Arabic or Persian",
    "HEBREW": "Hebrew", "DEVANAGARI": "Hindi", "BENGALI": "Bengali", "THAI": "Thai", "HANGUL": "Korean",
    "HIRAGANA": "Japanese", "KATAKANA": "Japanese", "CJK": "Chinese or Japanese", "TAMIL": "Tamil", "GEORGIAN":
    "Georgian", "ARMENIAN": "Armenian",
}  # fmt: skip
# Words of orders to a board and of small talk that are no English words.
_STRONG: Final = {
    "German": "schalte schalt mach mache licht lampe leuchte einschalten ausschalten blinken blinke heizung temperatur "
    "warm's wieviel bitte nicht ist wie viel und ein eine aus auf dem das für jede sekunde alle grad danke hallo",
    "French": "allume éteins eteins allumer éteindre lumière lumiere lampe clignoter clignote fais fait combien quelle "
    "quel est température broche toutes secondes plaît plait merci bonjour le la les une dans sur avec et",
    "Spanish": "enciende encender apaga apagar luz parpadea parpadear cuál cual qué cuánto temperatura segundos cada "
    "por favor gracias hola el la los una en con haz pon está",
    "Italian": "accendi accendere spegni spegnere luce lampeggia lampeggiare quale quanto temperatura secondi ogni per "
    "favore grazie ciao il la lo una sul nel con fai metti che è",
    "Portuguese": "ligue liga desligue desliga acenda apague luz pisque pisca qual quanto temperatura segundos cada "
    "por favor obrigado olá o a os uma na no com faça ponha está",
    "Dutch": "zet aan uit schakel licht lamp knipper knipperen hoeveel welke temperatuur seconden elke alstublieft "
    "dank hallo het een op met doe is de graden",
    "Polish": "włącz wlacz wyłącz wylacz światło swiatlo lampę mrugaj jaka ile temperatura sekund co proszę dziękuję "
    "cześć na jest i",
    "Swedish": "tänd släck lampan ljuset blinka vad är temperaturen sekunder varje tack hej på och sätt stäng",
    "Turkish": "aç kapat ışığı lambayı yak söndür kaç sıcaklık saniye her lütfen teşekkürler merhaba ve",
    "Czech": "zapni vypni světlo blikej jaká teplota sekund každou prosím děkuji ahoj a na je",
}  # fmt: skip
_ENGLISH: Final = frozenset(
    re.findall(
        r"\w+",
        "a o no on in is as at to do me he we an the turn set pin i you it and of for what how with off all per lamp "
        "hat war die fan led warm plait co la de las el uno blink temperature est so not have was can this that when "
        "if my",
    )
)
_WORDS: Final = {name: frozenset(words.split()) - _ENGLISH for name, words in _STRONG.items()}
_SURE: Final = 2  # so many of its words, or all that are no English ones


def foreign_language(text: str) -> str | None:
    """The language's name; None for English, and where it cannot be told."""
    letters = [char for char in text if char.isalpha()]
    scripts = [unicodedata.name(char, "").split(" ")[0].split("-")[0] for char in letters]
    known = [_SCRIPTS[script] for script in scripts if script in _SCRIPTS]
    if len(known) * 2 > len(letters):
        return known[0]
    words = list(re.findall(r"[^\W\d_]+(?:'[^\W\d_]+)?", text.lower()))
    hits = {name: sum(word in found for word in words) for name, found in _WORDS.items()}
    name = max(hits, key=hits.__getitem__)
    english = sum(word in _ENGLISH for word in words)
    enough = hits[name] >= _SURE or (hits[name] == 1 and hits[name] + english >= len(words) and len(words) > 1)
    return name if enough and hits[name] > english - _SURE else None
