"""Mandarin text -> the phonemes that Kokoro was trained with: misaki's, by jieba's words and pypinyin's sounds.

Imported inside Triton's Python stub.
"""

from __future__ import annotations

import logging
import re
import tempfile

import cn2an
import jieba
from misaki.zh import ZHG2P
from misaki.zh_normalization import TextNormalizer

HAN = re.compile(r"[\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
# With commas between its thousands, a number is an amount; long ones without are read digit by digit.
_THOUSANDS = re.compile(r"(?<![\d,，])\d{1,3}(?:[,，]\d{3}){1,4}(?![\d,，])")
_NUMBER = r"\d+(?:\.\d+)?"
_MONEY = re.compile(
    rf"(US\$|HK\$|[¥￥$€£])\s?((?:{_NUMBER}|[零一二三四五六七八九十百千万亿]+))\s?([万亿]?)(?:美元|欧元|英镑|元)?"
)
_CURRENCIES = {"US$": "美元", "HK$": "港元", "¥": "元", "￥": "元", "$": "美元", "€": "欧元", "£": "英镑"}
_UNITS = {
    "km/h": "公里每小时", "m/s": "米每秒", "km": "公里", "cm": "厘米", "mm": "毫米", "m²": "平方米", "km²": "平方公里",
    "m³": "立方米", "m": "米", "kg": "公斤", "mg": "毫克", "g": "克", "t": "吨", "ml": "毫升", "mL": "毫升", "L": "升",
    "℃": "摄氏度", "°C": "摄氏度", "℉": "华氏度", "°F": "华氏度", "kWh": "千瓦时", "kW": "千瓦", "W": "瓦",
    "ms": "毫秒", "s": "秒", "min": "分钟", "h": "小时", "Hz": "赫兹", "kHz": "千赫", "MHz": "兆赫", "GHz": "吉赫",
}  # fmt: skip
_UNIT = re.compile(rf"({_NUMBER})\s?({'|'.join(map(re.escape, sorted(_UNITS, key=len, reverse=True)))})(?![A-Za-z0-9])")
_SCORE = re.compile(r"(?<=比分)(\D{0,3}\d{1,3})[:：](\d{1,3})")


def units_in_chinese(text: str) -> str:
    """Signs of money and units in words, which would otherwise be read as letters."""
    text = _THOUSANDS.sub(lambda found: str(cn2an.an2cn(re.sub("[,，]", "", found[0]))), text)
    text = _MONEY.sub(lambda found: f"{found[2]}{found[3]}{_CURRENCIES[found[1]]}", text)
    text = _SCORE.sub(r"\1比\2", text)
    return _UNIT.sub(lambda found: found[1] + _UNITS[found[2]], text)


class Mandarin:
    """Reads text in which no Latin words are."""

    def __init__(self) -> None:
        """Load the dictionary. jieba caches it where everybody may write and trusts what it finds there: not here."""
        jieba.setLogLevel(logging.WARNING)
        with tempfile.TemporaryDirectory() as folder:
            jieba.dt.tmp_dir = folder
            jieba.initialize()
        self._normalizer = TextNormalizer()
        self("准备好了。")

    def __call__(self, text: str) -> str:
        """Phonemes, and the punctuation that the network knows."""
        if not text.strip():
            return text
        words = "".join(self._normalizer.normalize(text)) if re.search(r"\d", text) else text
        found: list[str] = []
        for run in re.findall(r"[\u3007\u3400-\u9fff\uf900-\ufaff]+|[^\u3007\u3400-\u9fff\uf900-\ufaff]+", words):
            if HAN.match(run):
                found.append(" ".join(_sounds(word) for word in jieba.lcut(run)))
            else:
                found.append(ZHG2P.map_punctuation(run) + " ")
        return "".join(found).replace("\u032f", "")


def _sounds(word: str) -> str:
    """A character that the dictionary does not have is passed over; the rest of its word is not."""
    try:
        return str(ZHG2P.word2ipa(word))
    except (ValueError, AssertionError):
        return "" if len(word) == 1 else "".join(map(_sounds, word))
