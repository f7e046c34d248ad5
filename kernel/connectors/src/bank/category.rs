//! What cards are used for: the categories, their merchants, hours and amounts. Tables, and arithmetic that gives the
//! same on every machine: no function of the C library, which differ in the last digit.

/// What a card is used for.
pub(super) struct Category {
    pub(super) name: &'static str,
    pub(super) merchants: &'static [&'static str],
    /// Its share of all transactions over a day, beside the others'.
    share: f64,
    /// The middle amount in cents.
    pub(super) middle_cents: f64,
    hours: &'static [u8; 24],
    /// The chance in a hundred that it is paid online.
    pub(super) online: u32,
    /// How long its rise and fall takes.
    wave_ms: i64,
}

// How busy each hour of the day is, of 10.
const MEALS: [u8; 24] = [3, 2, 1, 1, 1, 1, 2, 3, 4, 4, 4, 5, 8, 10, 8, 5, 4, 4, 6, 8, 10, 10, 8, 5];
const SHOPS: [u8; 24] = [1, 1, 1, 1, 1, 1, 1, 2, 4, 7, 9, 10, 9, 6, 5, 5, 7, 9, 10, 9, 6, 3, 2, 1];
const ROADS: [u8; 24] = [2, 1, 1, 1, 2, 4, 8, 10, 9, 6, 5, 5, 5, 5, 6, 6, 8, 10, 9, 6, 4, 3, 3, 2];
const NIGHT: [u8; 24] = [7, 5, 3, 2, 1, 1, 1, 2, 3, 3, 4, 4, 5, 5, 5, 5, 5, 6, 7, 8, 9, 10, 10, 9];
const OFFICE: [u8; 24] = [1, 1, 1, 1, 1, 1, 2, 4, 8, 10, 10, 9, 7, 5, 6, 8, 8, 6, 4, 3, 2, 2, 1, 1];

const fn category(
    name: &'static str,
    merchants: &'static [&'static str],
    (share, middle_cents): (f64, f64),
    (hours, online): (&'static [u8; 24], u32),
    wave_s: i64,
) -> Category {
    Category { name, merchants, share, middle_cents, hours, online, wave_ms: wave_s * 1_000 }
}

pub(super) const CATEGORIES: [Category; 12] = [
    category(
        "groceries",
        &["Mercado del Norte", "La Despensa", "Frutas Olmo", "Panadería Alba", "Super Ribera"],
        (24.0, 2_600.0),
        (&SHOPS, 8),
        240,
    ),
    category(
        "restaurants",
        &["Casa Manuela", "El Fogón Azul", "Sushi Kaze", "Pizzería Vico", "Café Lumen"],
        (16.0, 2_100.0),
        (&MEALS, 12),
        200,
    ),
    category("fuel", &["Gasolinera Km 7", "PetroSur", "Estación Alameda"], (7.0, 4_800.0), (&ROADS, 0), 300),
    category("transport", &["Metro Ciudad", "TaxiYa", "Bici Libre", "Tren Costa"], (12.0, 640.0), (&ROADS, 45), 150),
    category(
        "travel",
        &["Aerolínea Cóndor", "Hotel Miramar", "Viajes Brújula", "Rent-a-Ruta"],
        (3.0, 18_500.0),
        (&OFFICE, 80),
        420,
    ),
    category("electronics", &["TecnoPlaza", "Bits y Cables", "Foto Nova"], (4.0, 8_900.0), (&SHOPS, 55), 360),
    category(
        "fashion",
        &["Moda Lola", "Zapatos Ruiz", "Hilo y Aguja", "Boutique Iris"],
        (7.0, 4_400.0),
        (&SHOPS, 45),
        280,
    ),
    category(
        "health",
        &["Farmacia Central", "Óptica Clara", "Clínica Dental Roca"],
        (6.0, 2_300.0),
        (&OFFICE, 10),
        330,
    ),
    category(
        "entertainment",
        &["Cine Capitol", "Teatro Real Viejo", "Juegos Orbita", "Sala Eco"],
        (6.0, 1_500.0),
        (&NIGHT, 60),
        180,
    ),
    category("utilities", &["Luz y Agua SA", "Gas Levante", "Fibra Rápida"], (4.0, 6_200.0), (&OFFICE, 95), 480),
    category(
        "services",
        &["Nube Nueve", "Música Sin Fin", "Periódico Diario", "Gimnasio Atlas"],
        (8.0, 1_100.0),
        (&NIGHT, 90),
        260,
    ),
    category("cash", &["Cajero Plaza Mayor", "Cajero Estación", "Cajero Aeropuerto"], (3.0, 6_000.0), (&SHOPS, 0), 210),
];

/// The place of "services" in [`CATEGORIES`]: where stolen cards are tried.
pub(super) const SERVICES: usize = 10;
/// The place of "electronics": what is bought with them.
pub(super) const ELECTRONICS: usize = 5;

impl Category {
    pub(super) fn is_cash(&self) -> bool {
        self.name == "cash"
    }

    /// How much is going on at a time (UTC), beside the other categories.
    fn weight(&self, at_ms: i64) -> f64 {
        const HOUR_MS: i64 = 3_600_000;
        let of_day = at_ms.rem_euclid(24 * HOUR_MS);
        let hour = usize::try_from(of_day / HOUR_MS).unwrap_or(0);
        let into = fraction(of_day % HOUR_MS, HOUR_MS);
        let (this, next) = (f64::from(self.hours[hour]), f64::from(self.hours[(hour + 1) % 24]));
        // A triangle between 0.6 and 1.4 stands for a wave.
        let wave = 1.4 - 1.6 * (fraction(at_ms.rem_euclid(self.wave_ms), self.wave_ms) - 0.5).abs();
        self.share * (this + (next - this) * into) * wave
    }
}

#[allow(clippy::cast_precision_loss, reason = "milliseconds of a day")]
fn fraction(part: i64, whole: i64) -> f64 {
    part as f64 / whole as f64
}

/// Which category a transaction at a time falls in, with all that is below each: for `pick`.
pub(super) struct Mix {
    upto: [f64; CATEGORIES.len()],
    /// The second that it is right for.
    second: i64,
}

impl Mix {
    pub(super) fn new() -> Mix {
        Mix { upto: [0.0; CATEGORIES.len()], second: i64::MIN }
    }

    /// The category at `chance` (0 to 1) of a time; the same for the whole second.
    pub(super) fn pick(&mut self, at_ms: i64, chance: f64) -> usize {
        let second = at_ms.div_euclid(1_000);
        if second != self.second {
            let mut sum = 0.0;
            for (upto, category) in self.upto.iter_mut().zip(&CATEGORIES) {
                sum += category.weight(second * 1_000);
                *upto = sum;
            }
            self.second = second;
        }
        let at = chance * self.upto[CATEGORIES.len() - 1];
        self.upto.iter().position(|upto| at < *upto).unwrap_or(CATEGORIES.len() - 1)
    }
}

/// By how much an amount differs from its category's middle, at so many thousandths of all amounts.
const TAIL: [(f64, f64); 12] = [
    (0.0, 0.05),
    (0.01, 0.1),
    (0.05, 0.22),
    (0.1, 0.32),
    (0.25, 0.58),
    (0.5, 1.0),
    (0.75, 1.75),
    (0.9, 3.1),
    (0.97, 5.5),
    (0.99, 10.0),
    (0.999, 40.0),
    (1.0, 160.0),
];

/// The amount at `chance` (0 to 1), as a multiple of the middle one.
pub(super) fn multiple(chance: f64) -> f64 {
    let above = TAIL.iter().position(|(upto, _)| chance < *upto).unwrap_or(TAIL.len() - 1).max(1);
    let ((from, low), (to, high)) = (TAIL[above - 1], TAIL[above]);
    low + (high - low) * (chance - from) / (to - from)
}
