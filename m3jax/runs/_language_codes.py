"""Codes of languages that corpora are common in: ISO 639-3, ISO 639-1, and the English name."""

from __future__ import annotations

_CODES = """
afr af Afrikaans; als sq Albanian; amh am Amharic; arb ar Arabic; ara ar Arabic; hye hy Armenian;
aze az Azerbaijani; azj az Azerbaijani; bak ba Bashkir; bel be Belarusian; ben bn Bengali;
bos bs Bosnian; bul bg Bulgarian; mya my Burmese; cat ca Catalan; cmn zh Chinese; zho zh Chinese;
hrv hr Croatian; ces cs Czech; dan da Danish; nld nl Dutch; eng en English; est et Estonian;
eus eu Basque; fin fi Finnish; fra fr French; glg gl Galician; kat ka Georgian; deu de German;
ell el Greek; guj gu Gujarati; hat ht Haitian Creole; hau ha Hausa; heb he Hebrew; hin hi Hindi;
hun hu Hungarian; isl is Icelandic; ibo ig Igbo; ind id Indonesian; gle ga Irish; ita it Italian;
jpn ja Japanese; jav jv Javanese; kan kn Kannada; kaz kk Kazakh; khm km Khmer; kin rw Kinyarwanda;
kor ko Korean; kir ky Kyrgyz; lao lo Lao; lat la Latin; lav lv Latvian; lvs lv Latvian;
lit lt Lithuanian; mkd mk Macedonian; msa ms Malay; zsm ms Malay; mal ml Malayalam; mlt mt Maltese;
mri mi Maori; mar mr Marathi; mon mn Mongolian; khk mn Mongolian; nep ne Nepali; npi ne Nepali;
nor no Norwegian; nob nb Norwegian Bokmål; nno nn Norwegian Nynorsk; pus ps Pashto;
fas fa Persian; pes fa Persian; pol pl Polish; por pt Portuguese; pan pa Punjabi; ron ro Romanian;
rus ru Russian; srp sr Serbian; sna sn Shona; snd sd Sindhi; sin si Sinhala; slk sk Slovak;
slv sl Slovenian; som so Somali; spa es Spanish; sun su Sundanese; swa sw Swahili; swh sw Swahili;
swe sv Swedish; tgl tl Tagalog; tgk tg Tajik; tam ta Tamil; tat tt Tatar; tel te Telugu;
tha th Thai; bod bo Tibetan; tur tr Turkish; tuk tk Turkmen; ukr uk Ukrainian; urd ur Urdu;
uig ug Uyghur; uzb uz Uzbek; uzn uz Uzbek; vie vi Vietnamese; cym cy Welsh; wol wo Wolof;
xho xh Xhosa; yid yi Yiddish; yor yo Yoruba; zul zu Zulu
"""
# Code -> name, both without case.
NAME_OF_CODE = {
    code: name.casefold()
    for three, two, name in (entry.split(maxsplit=2) for entry in _CODES.split(";"))
    for code in (three, two)
}
