//! Enums whose variants have names.

/// An enum with a name per variant: `ALL`, `name()`, `Display` and `FromStr`.
macro_rules! named {
    (
        $(#[$meta:meta])*
        $vis:vis enum $enum:ident: $what:literal {
            $($(#[$doc:meta])* $variant:ident = $name:literal,)+
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        $vis enum $enum {
            $($(#[$doc])* $variant,)+
        }

        impl $enum {
            /// Every variant, in order.
            $vis const ALL: &[Self] = &[$(Self::$variant),+];

            /// The variant's name in text and configs.
            $vis const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }

        impl std::fmt::Display for $enum {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.name())
            }
        }

        impl std::str::FromStr for $enum {
            type Err = String;

            fn from_str(name: &str) -> Result<Self, String> {
                Self::ALL.iter().copied().find(|known| known.name() == name).ok_or_else(|| {
                    format!("unknown {} \"{name}\": use {}", $what, [$($name),+].join(", "))
                })
            }
        }
    };
}

pub(crate) use named;
