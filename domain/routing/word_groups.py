"""English words that tell what a prompt is about or asks for, and words that tell languages; each in one group."""

from __future__ import annotations

from collections.abc import Mapping

GROUPS: Mapping[str, str] = {
    "question": "what which who whom whose when where why how whats",
    "instruction": (
        "write explain describe list give provide create generate summarize summarise translate compare "
        "discuss analyze analyse rewrite edit classify identify choose select answer complete fill tell "
        "suggest recommend outline draft design implement convert extract paraphrase"
    ),
    "code": (
        "def return function class import python java javascript typescript sql html css code program script "
        "array string strings tuple tuples dictionary int integer float boolean bool variable loop algorithm "
        "api regex compile debug bug exception assert lambda print std printf struct public static void null "
        "elif const async github docker linux bash kernel server database query element elements lists"
    ),
    "maths": (
        "sum product equation equations integral derivative probability triangle circle square root polynomial "
        "matrix vector prime factor factors divisor divisible modulo fraction ratio angle radius perimeter area "
        "volume compute calculate evaluate solve simplify prove proof theorem integer integers digits remainder "
        "logarithm sine cosine geometry algebra arithmetic sequence permutation coefficient maximum minimum"
    ),
    "quantity": (
        "many much total each per percent half twice double triple dozen dollars dollar cents cost costs price "
        "pay paid sold buys bought earns hours hour minutes minute seconds days weeks months miles km meters "
        "feet inches pounds kg grams liters gallons average remaining left more less altogether"
    ),
    "logic": (
        "if then because therefore suppose assume given hence thus whether implies since unless either neither "
        "true false deduce infer conclude clue clues premise hypothesis contradiction"
    ),
    "negation": "not no never none nor cannot without except isnt dont doesnt didnt wasnt wont cant incorrect",
    "constraint": (
        "must should shall only exactly least most always ensure avoid include exclude limit between within "
        "require required following below above"
    ),
    "format": (
        "json csv xml yaml markdown table bullet bullets bulleted numbered format paragraph paragraphs sentence "
        "sentences words headings outline template output input"
    ),
    "creative": (
        "story poem essay novel song lyrics imagine character dialogue fiction haiku joke slogan blog letter "
        "email tweet script scene plot roleplay persona"
    ),
    "science": (
        "energy force mass velocity atom atoms molecule molecules electron electrons ion ions acid reaction "
        "cell cells protein proteins gene genes dna species plant plants temperature pressure gas liquid heat "
        "light wave frequency quantum particle orbit planet chemical solution organism enzyme voltage magnetic"
    ),
    "medicine_law": (
        "patient patients disease symptoms treatment diagnosis clinical blood drug dose therapy cancer infection "
        "court law legal contract plaintiff defendant statute liability constitution rights crime tax"
    ),
    "world": (
        "year century born died president king queen war city country capital state river world film movie "
        "album band actor singer team league season won played author wrote novelist founded history empire "
        "television show episode located named known called"
    ),
    "choice": "options option choices choice correct best statement statements alternatives multiple",
    "person": "i me my mine we us our you your yours",
    "courtesy": "please thanks thank hello hi help kindly could would",
    "english": (
        "the of and to a in is that it for on with as was at by an be this are from or have has had were which "
        "but they their there been its he she his her them"
    ),
    "romance_german": (
        "de la el le les los las un una une des du que qui en y et est es il lo gli di da per con para por "
        "nao uma os der die das und ist ein eine nicht mit von zu den dem auf wie"
    ),
}
"""Words, lower case and without apostrophes, by what they tell; a word of two groups counts in the first."""

NAMES = tuple(GROUPS)

GROUP_OF: Mapping[str, int] = {
    word: number for number, words in reversed(list(enumerate(GROUPS.values()))) for word in words.split()
}
"""The number of each word's group, in the order of `NAMES`."""
