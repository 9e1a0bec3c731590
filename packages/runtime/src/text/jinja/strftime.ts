const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];
const MONTHS = [
  'January',
  'February',
  'March',
  'April',
  'May',
  'June',
  'July',
  'August',
  'September',
  'October',
  'November',
  'December',
];

const two = (n: number): string => String(n).padStart(2, '0');

/** 1 to 366. */
function dayOfYear(date: Date): number {
  const start = Date.UTC(date.getFullYear(), 0, 1);
  return Math.round((Date.UTC(date.getFullYear(), date.getMonth(), date.getDate()) - start) / 86_400_000) + 1;
}

/** Week of the year where `firstDay` (0 Sunday, 1 Monday) begins a week. */
function week(date: Date, firstDay: number): number {
  return Math.floor((dayOfYear(date) + 6 - ((date.getDay() - firstDay + 7) % 7)) / 7);
}

function isoWeek(date: Date): { year: number; week: number } {
  const day = (date.getDay() + 6) % 7;
  const thursday = new Date(date.getFullYear(), date.getMonth(), date.getDate() - day + 3);
  return { year: thursday.getFullYear(), week: Math.floor((dayOfYear(thursday) - 1) / 7) + 1 };
}

/**
 * Python's `datetime.now().strftime(format)` in the C locale; a naive local time, so %z and %Z are empty. Codes the
 * C library does not know stay as they are.
 */
export function strftime(date: Date, format: string): string {
  return format.replace(/%(-?)([a-zA-Z%])/g, (match, unpadded: string, code: string) => {
    const text = directive(date, code);
    if (text === undefined) return match;
    return unpadded === '' ? text : text.replace(/^[0 ]+(?=.)/, '');
  });
}

function directive(date: Date, code: string): string | undefined {
  const hour12 = date.getHours() % 12 || 12;
  switch (code) {
    case 'a':
      return DAYS[date.getDay()]!.slice(0, 3);
    case 'A':
      return DAYS[date.getDay()];
    case 'b':
    case 'h':
      return MONTHS[date.getMonth()]!.slice(0, 3);
    case 'B':
      return MONTHS[date.getMonth()];
    case 'c':
      return strftime(date, '%a %b %e %H:%M:%S %Y');
    case 'C':
      return two(Math.floor(date.getFullYear() / 100));
    case 'd':
      return two(date.getDate());
    case 'D':
    case 'x':
      return strftime(date, '%m/%d/%y');
    case 'e':
      return String(date.getDate()).padStart(2);
    case 'f':
      return String(date.getMilliseconds() * 1000).padStart(6, '0');
    case 'F':
      return strftime(date, '%Y-%m-%d');
    case 'G':
      return String(isoWeek(date).year);
    case 'H':
      return two(date.getHours());
    case 'I':
      return two(hour12);
    case 'j':
      return String(dayOfYear(date)).padStart(3, '0');
    case 'm':
      return two(date.getMonth() + 1);
    case 'M':
      return two(date.getMinutes());
    case 'n':
      return '\n';
    case 'p':
      return date.getHours() < 12 ? 'AM' : 'PM';
    case 'r':
      return strftime(date, '%I:%M:%S %p');
    case 'R':
      return strftime(date, '%H:%M');
    case 's':
      return String(Math.floor(date.getTime() / 1000));
    case 'S':
      return two(date.getSeconds());
    case 't':
      return '\t';
    case 'T':
    case 'X':
      return strftime(date, '%H:%M:%S');
    case 'u':
      return String(date.getDay() || 7);
    case 'U':
      return two(week(date, 0));
    case 'V':
      return two(isoWeek(date).week);
    case 'w':
      return String(date.getDay());
    case 'W':
      return two(week(date, 1));
    case 'y':
      return two(date.getFullYear() % 100);
    case 'Y':
      return String(date.getFullYear());
    case 'z':
    case 'Z':
      return '';
    case '%':
      return '%';
  }
  return undefined;
}
