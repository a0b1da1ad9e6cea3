"""Vocabulary of nano's tokenizer: words of scene questions and answers, and industrial terms that scenes do not show.

The tokenizer of the base weights is trained on these texts, in this order: a change makes new base weights necessary.
"""

from __future__ import annotations

from logicls.pretraining import phrases as say
from logicls.pretraining.catalogue import KINDS
from logicls.pretraining.phrases import NUMBER_WORDS, Phrase
from logicls.pretraining.questions import (
    COUNT_TEMPLATES,
    EACH_TEMPLATES,
    LOCATE_ONE_TEMPLATES,
    LOCATE_TEMPLATES,
    RULE_TEXTS,
    SINGLE_TEMPLATES,
    VERDICT_TEMPLATES,
)
from logicls.pretraining.surfaces import COLOURS
from logicls.pretraining.vessels import CAPS, LIQUIDS, VESSEL_NAMES

LEVELS = ("empty", "low", "middle", "high")
FRUITS = ("cherry", "banana", "orange", "apple", "lemon", "grape", "pear", "strawberry")
SHAPES = (
    "disc",
    "ring",
    "square",
    "rectangle",
    "triangle",
    "star",
    "cross",
    "heart",
    "hexagon",
    "diamond",
    "crescent",
    "leaf",
    "drop",
    "sun",
)
ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "level": LEVELS,
    "size": ("small", "large"),
    "orientation": ("horizontal", "vertical"),
    "fruit": FRUITS,
    "shape": SHAPES,
    "kind": FRUITS,
    "place": ("left", "right", "above", "below", "centred"),
    "state": ("on", "off", "filled", "empty"),
}
"""Attributes that are asked for, with all their answers."""
DEFECTS = (
    "none",
    "missing",
    "extra",
    "swapped",
    "misplaced",
    "mismatch",
    "low",
    "high",
    "empty",
    "off",
    "wrong",
    "odd",
    "turned",
)
"""Defects that a verdict may name."""
COMPONENT_NAMES = (
    *VESSEL_NAMES,
    *LIQUIDS,
    *CAPS,
    "label",
    "paper label",
    "icon",
    "mark",
    "picture",
    "symbol",
    "logo",
    "fruit icon",
    "fruit picture",
    "fruit label",
    "text label",
    "printed label",
    "picture label",
    "icon label",
    "compartment",
    "cell",
    "pocket",
    "tray",
    "case",
    "box insert",
    "plate",
    "panel",
    "board",
    "mounting plate",
    "cable",
    "wire",
    "lead",
    "terminal",
    "slot",
    "terminal block",
    "connector block",
    "part",
    "shape",
    "object",
    "fruit",
)
POSITION_WORDS = (
    "left right upper lower leftmost rightmost topmost lowest top bottom middle row column corner centre in on of",
)
EXAMPLE_PHRASES = (
    "the bottle is filled to a third at most about half more than two thirds",
    "belongs to",
    "behind the icon which colour has",
    "where on the label is the",
    "is centred on its label",
    "one in each compartment with a low level",
    "that is empty filled",
    "which slot of the left block does the red cable end in",
    "the red cable ends in slot two of the right block",
    "small large red green that shows show that is are that points point in the up down position",
    "with the letter horizontal",
)


PART_WORDS = """
adapter anchor antenna arm armature axle bag ball bar barrel base basket batch battery beam bearing bell belt bin
bit blade blank blister block board bobbin body bolt boot bottle bottom bow bowl box bracket brake branch brick
bridge brush bucket buckle bulb bumper bundle bush button cable cage can cap capacitor capsule card carrier carton
cartridge case casing catch cell chain chamber channel chip clamp clasp clip clock closure clutch coil collar column
comb compartment component connector contact container control cord cork corner cotter counter coupling cover crank
crate crown cup cushion cylinder deck device dial die diode disc display divider dome door dowel drawer drill drum
duct edge elbow electrode element emblem end engine envelope eye eyelet face fan fastener felt filter fin fitting
flag flange flap flask foil foot fork frame fuse gasket gauge gear gland glass glove grate grid grille grip grommet
groove guard guide gutter hammer handle hanger harness hatch head header heater heel hinge holder hole hood hook
hose housing hub icon indicator inlet inner insert insulator jack jar jaw jet joint jumper kettle key keyboard kit
knob knife label lamp latch leaf leather leg lens lever lid light limit line liner link lip lock logo loop lug
magnet manifold manual mark mask mat membrane mesh meter module motor mount mouth mug nail neck needle nest net
nipple node notch nozzle nut oring outlet outer package packet pad paddle panel paper part patch pedal peg pen
pencil piece pin pipe piston pivot plate plug pocket point pole port post pouch print probe product profile pulley
pump punch rack rail ramp ratchet reel reflector regulator relay resistor rest rib ribbon rim ring rivet rocker rod
roll roller rope rotor rubber rule ruler sachet sack saddle saw scale screen screw seal seam seat sensor separator
set shaft shank sheet shelf shell shield shim shoe shoulder side sign sink sleeve slide sling slot socket sole
solder spacer spanner spark spindle spiral splint spoke sponge spoon spool spot spout spray spring sprocket square
stack stamp stand staple stem step stick sticker stop stopper strap straw strip stripe stud support surface switch
syringe tab table tablet tag tank tap tape target tee terminal thread tile tin tip tool tooth top track transformer
transistor tray trigger trim trolley tube turbine tyre unit valve vent vessel vial wall washer wedge weight weld
wheel window wing wire wrap wrapper wrench yoke zip
"""
QUALITY_WORDS = """
absent accurate additional adjacent alike aligned amber angled another attached bare bent beige big black blank blue
blunt bottom bright broken bronze brown burnt central centred chipped circular clean clear closed cloudy coarse
coloured complete concave conical convex correct covered cracked cream crooked crushed curved cyan damaged dark deep
defective deformed dented different dirty double dry dull empty equal even exact extra faded faulty filled fine flat
folded foreign fragile free front full glossy gold good green grey half hard heavy hexagonal high hollow horizontal
identical illegible inner inside intact inverted jagged large leaking left less light long loose low lower magenta
matching matte metallic middle mirrored misaligned misplaced missing mixed more mounted narrow neat new next oily
old olive only open opposite orange oval outer outside pale partial perfect pink plain plastic pointed polished
present pressed printed purple rear rectangular red reversed right rotated rough round rusty same scratched sealed
second shallow sharp shiny short silver similar single slack slanted small smooth soft solid sorted special square
stained standard steep sticky stiff straight striped strong stuck swapped tall tapered tense thick thin third tight
tilted tiny top torn transparent triangular turned turquoise twisted uneven unequal unlit upper upright vertical
violet visible warped weak wet white whole wide wooden worn wrong yellow
"""
MATERIAL_WORDS = """
acrylic aluminium brass bronze cardboard carbon ceramic chrome clay cloth concrete copper cork cotton enamel fabric
fibre foam gel glue grease gum ink iron juice lacquer lead leather liquid milk nickel nylon oil paint paper plaster
plastic powder resin rubber sand silicone silk soap steel stone syrup textile titanium varnish water wax wire wood
wool zinc
"""
GROCERY_WORDS = """
almond apple apricot banana bean berry biscuit bread butter cake candy carrot cereal cheese cherry chips chocolate
coffee cookie cream egg fish flour fruit grape honey jam kiwi lemon lime mango meat melon muesli mushroom nectarine
noodle oat olive onion orange pasta peach peanut pear pepper plum potato raisin rice salad salt sauce spice
strawberry sugar tangerine tea tomato vanilla walnut yoghurt
"""
RULE_WORDS = """
a about above across after again against all along also among an and any are around as at away be because before
behind below beneath beside besides between both but by can cannot check checks contains corner count counted defect
defects direct distance does each either every exactly except expected fail fails far few fewer fill first fits for
found from greater has have height hold holds how if in inspection instead into is it its last least leave length
level list look many match matches may measure mirror most must name neither never no none nor not number of off
offset on once one only or order other out over pair pairs pass passes per photo place placed places position
quantity reading reject ring row rows rule rules same second seen share should show shows side size slot some
spacing span state than that the them then there these they this those three times to together too total touch
touches touching tolerance twice two under until unless up upon value verdict violation was what when where which
while whole whose why width will with within without wrong
"""


def list_trade_words() -> list[str]:
    """Return the industrial terms, several per line."""
    return [
        line
        for words in (PART_WORDS, QUALITY_WORDS, MATERIAL_WORDS, GROCERY_WORDS, RULE_WORDS)
        for line in words.split("\n")
        if line
    ]


def list_answer_words() -> list[str]:
    """Return every word of an answer, sorted."""
    own = {value for kind in KINDS for value in kind.values}
    shapes = {kind.value for kind in KINDS if kind.family}
    closed = {value for options in ATTRIBUTES.values() for value in options}
    return sorted({*COLOURS, *NUMBER_WORDS, *own, *shapes, *closed, *DEFECTS})


def list_tokenizer_texts() -> list[str]:
    """Return texts with every word of every question, and a vocabulary of parts, colours, shapes and materials."""
    names = sorted({name for kind in KINDS for name in kind.names} | set(COMPONENT_NAMES))
    attributes = sorted(
        {kind.attribute for kind in KINDS if kind.attribute} | set(ATTRIBUTES) | {"colour", "size", "number"}
    )
    phrases = [Phrase(name) for name in names]
    phrases += [
        say.phrase_with_value("part", key, value)
        for kind in KINDS
        for key in (kind.attribute,)
        if key
        for value in kind.values
    ]
    texts = [
        line.format(one=p.singular, many=p.plural, attribute="", rules="")
        for p in phrases
        for line in (LOCATE_TEMPLATES[0], LOCATE_TEMPLATES[5])
    ]
    texts += [
        line.format(one="part", many="parts", attribute=key)
        for key in attributes
        for line in (*EACH_TEMPLATES, *SINGLE_TEMPLATES)
    ]
    texts += [
        line.format(one="part", many="parts", rules="rule")
        for line in (*LOCATE_TEMPLATES, *LOCATE_ONE_TEMPLATES, *COUNT_TEMPLATES, *VERDICT_TEMPLATES)
    ]
    texts += [
        *RULE_TEXTS,
        *POSITION_WORDS,
        *EXAMPLE_PHRASES,
        *COLOURS,
        *NUMBER_WORDS,
        *list_answer_words(),
        *list_trade_words(),
    ]
    return [" ".join(text.replace("{", " ").replace("}", " ").split()) for text in texts]
